// The iterators through which the flow cache is read: one for each of its two maps. What they give
// of a flow says the scope in the expiry settings.
import { closeSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { BpfError } from './bpf-error.js';
import type { BpfObject } from './bpf-object.js';
import type { LinkPointer } from './native/libbpf.js';
import { iteratorArgument } from './native/libbpf-arguments.js';

/** The kernel hands out at most 32 KiB per read(); whole items, because seq_write is all or nothing. */
const READ_OCTETS = 64 * 1024;
const ITERATORS = [
  { program: 'sweep_flows_v4', map: 'flows_v4' },
  { program: 'sweep_flows_v6', map: 'flows_v6' },
] as const;

const readAsync = promisify(read);

type InTurn = (read: () => Promise<number>) => Promise<number>;

export interface CacheIterators {
  /**
   * One pass over both maps.
   * @param itemOctets what the program writes of a flow
   * @param inTurn runs each read of the pass when the settings are those of the pass
   * @returns whole items; the memory is reused within the pass
   */
  readonly read: (itemOctets: number, inTurn: InTurn) => AsyncIterable<Buffer>;
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
  async function* readAll(itemOctets: number, inTurn: InTurn): AsyncIterable<Buffer> {
    const buffer = Buffer.allocUnsafe(READ_OCTETS);
    // None is left once they are closed.
    for (const link of links) yield* readIterator(object, link, { buffer, itemOctets, inTurn });
  }
  return { read: readAll, close };
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
  { buffer, itemOctets, inTurn }: { buffer: Buffer; itemOctets: number; inTurn: InTurn },
): AsyncIterable<Buffer> {
  const fd = object.libbpf.createIterator(object.libbpf.linkFd(link));
  if (fd < 0) throw object.error(-fd, 'sweep the flow cache');
  try {
    for (;;) {
      const bytesRead = await inTurn(() => readOrRetry(fd, buffer));
      if (bytesRead === 0) return;
      if (bytesRead % itemOctets !== 0) {
        throw new BpfError('EIO', 'sweep the flow cache', `${bytesRead} octets are no whole items`);
      }
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * The kernel breaks a read() off with EAGAIN after a million elements that gave nothing; the next one
 * goes on from there (MAX_ITER_OBJECTS in kernel/bpf/bpf_iter.c).
 */
async function readOrRetry(fd: number, buffer: Buffer): Promise<number> {
  for (;;) {
    try {
      return (await readAsync(fd, buffer, 0, buffer.length, null)).bytesRead;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
