// The iterators through which the flow cache is read: one for each of its two maps. What they give
// of a flow says the scope in the expiry settings.
import { closeSync, readv } from 'node:fs';
import { promisify } from 'node:util';
import { BpfError } from './bpf-error.js';
import type { BpfObject } from './bpf-object.js';
import type { LinkPointer } from './native/libbpf.js';
import { iteratorArgument } from './native/libbpf-arguments.js';

/** What the kernel fills at a time (PAGE_SIZE << 3 in kernel/bpf/bpf_iter.c), where pages have 4 KiB. */
const PART_OCTETS = 32 * 1024;
/** Parts in a call: each call goes through the thread pool, and is a turn. */
const PARTS = 8;
const ITERATORS = [
  { program: 'sweep_flows_v4', map: 'flows_v4' },
  { program: 'sweep_flows_v6', map: 'flows_v6' },
] as const;

const readvAsync = promisify(readv);

type InTurn = (read: () => Promise<number>) => Promise<number>;

export interface CacheIterators {
  /**
   * One pass over both maps.
   * @param itemOctets what the program writes of a flow
   * @param inTurn runs each read of the pass when the settings are those of the pass
   * @param memory to read into, with room for what is read at a time; undefined: memory of the pass
   * @returns whole items; the memory is reused within the pass
   */
  readonly read: (itemOctets: number, inTurn: InTurn, memory?: Buffer) => AsyncIterable<Buffer>;
  readonly close: () => void;
}

/** @throws BpfError */
export function attachCacheIterators(object: BpfObject): CacheIterators {
  const links: LinkPointer[] = [];
  const close = (): void => {
    for (let link = links.pop(); link !== undefined; link = links.pop()) {
      object.libbpf.destroyLink(link);
    }
  };
  try {
    for (const { program, map } of ITERATORS) links.push(attachIterator(object, program, map));
  } catch (error) {
    close();
    throw error;
  }
  async function* readAll(
    itemOctets: number,
    inTurn: InTurn,
    memory?: Buffer,
  ): AsyncIterable<Buffer> {
    const parts = partsFor(itemOctets, memory);
    // None is left once they are closed.
    for (const link of links) yield* readIterator(object, link, { parts, itemOctets, inTurn });
  }
  return { read: readAll, close };
}

interface Parts {
  readonly buffer: Buffer;
  /** All of the buffer, one after the other. */
  readonly views: readonly Buffer[];
}

/**
 * readv(2) goes on with the next part where one was filled to its last octet. A part of whole items, as many
 * as the kernel fills at a time, always is, until the end.
 */
function partsFor(itemOctets: number, memory?: Buffer): Parts {
  const octets = PART_OCTETS - (PART_OCTETS % itemOctets);
  const buffer = memory?.subarray(0, PARTS * octets) ?? Buffer.allocUnsafeSlow(PARTS * octets);
  const part = (_: unknown, i: number): Buffer => buffer.subarray(i * octets, (i + 1) * octets);
  return { buffer, views: Array.from({ length: PARTS }, part) };
}

function attachIterator(object: BpfObject, program: string, map: string): LinkPointer {
  const linkInfo = Buffer.alloc(16); // union bpf_iter_link_info: { map_fd }
  linkInfo.writeUInt32LE(object.mapFd(map), 0);
  return object.link(
    object.libbpf.attachIterator(object.program(program), iteratorArgument(linkInfo)),
    `attach ${program}`,
  );
}

/** One pass. Reads in the thread pool: the walk is kernel time and must not stop the event loop. */
async function* readIterator(
  object: BpfObject,
  link: LinkPointer,
  { parts, itemOctets, inTurn }: { parts: Parts; itemOctets: number; inTurn: InTurn },
): AsyncIterable<Buffer> {
  const fd = object.libbpf.createIterator(object.libbpf.linkFd(link));
  if (fd < 0) throw object.error(-fd, 'sweep the flow cache');
  try {
    for (;;) {
      const bytesRead = await inTurn(() => readOrRetry(fd, parts.views));
      if (bytesRead === 0) return;
      if (bytesRead % itemOctets !== 0) {
        throw new BpfError('EIO', 'sweep the flow cache', `${bytesRead} octets are no whole items`);
      }
      yield parts.buffer.subarray(0, bytesRead);
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * The kernel breaks a read() off with EAGAIN after a million elements that gave nothing; the next one
 * goes on from there (MAX_ITER_OBJECTS in kernel/bpf/bpf_iter.c).
 */
async function readOrRetry(fd: number, parts: readonly Buffer[]): Promise<number> {
  for (;;) {
    try {
      return (await readvAsync(fd, parts)).bytesRead;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
