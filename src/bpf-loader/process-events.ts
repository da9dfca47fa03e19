// The programs that tell of processes: attaches them, empties their ring buffer, lists all processes.
import { closeSync, readSync } from 'node:fs';
import { EXEC_EVENT } from '../flow/flow-contract.gen.js';
import type { ProcessEventSource } from '../flow/process-event-source.js';
import type { BpfObject } from './bpf-object.js';
import { lastErrno } from './native/memory.js';
import { attachTracing } from './state/attach-tracing.js';
import { UNPINNED_LINKS, type LinkKeeper } from './state/link-keeper.js';

interface KernelProcessEvents extends ProcessEventSource {
  readonly close: () => void;
}

const PROGRAMS = ['process_executed', 'process_forked', 'process_exited'] as const;
/** About 800 usual events; the ring is emptied in so many steps as it takes. */
const TAKE_OCTETS = 128 * 1024;
/** The kernel hands out at most 32 KiB per read(). */
const READ_OCTETS = 32 * 1024;
const NOTHING = Buffer.alloc(0);

/** @throws BpfError */
export function openProcessEvents(
  object: BpfObject,
  keeper: LinkKeeper = UNPINNED_LINKS,
): KernelProcessEvents {
  const { libbpf } = object;
  const buffer = Buffer.alloc(TAKE_OCTETS);
  const ring = libbpf.openRingBuffer(object.mapFd('process_events'), buffer, EXEC_EVENT.size);
  if (ring === undefined) throw object.error(lastErrno(), 'map the ring buffer of process events');
  const links: (() => void)[] = [];
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    if (!keeper.stays()) for (let detach = links.pop(); detach; detach = links.pop()) detach();
    ring.close();
  };
  try {
    for (const name of PROGRAMS) {
      links.push(attachTracing(object, name, keeper));
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    take: () => {
      const octets = isOpen ? ring.take() : 0;
      if (octets < 0) throw object.error(-octets, 'read the ring buffer of process events');
      return buffer.subarray(0, octets);
    },
    list: () => (isOpen ? listProcesses(object) : NOTHING),
    close,
  };
}

/** One walk over all tasks, in the kernel. */
function listProcesses(object: BpfObject): Buffer {
  const { libbpf } = object;
  const operation = 'list the processes';
  const link = object.link(
    libbpf.attachIterator(object.program('list_processes'), null),
    'attach list_processes',
  );
  try {
    const fd = libbpf.createIterator(libbpf.linkFd(link));
    if (fd < 0) throw object.error(-fd, operation);
    try {
      return readToEnd(fd);
    } finally {
      closeSync(fd);
    }
  } finally {
    libbpf.destroyLink(link);
  }
}

function readToEnd(fd: number): Buffer {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.allocUnsafe(READ_OCTETS);
    try {
      const octets = readSync(fd, chunk);
      if (octets === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, octets));
    } catch (error) {
      // No end: see readOrRetry in flow-cache.ts.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
