// Who meters an interface by clsact filters. Those of two procflows have the same handle, by which
// a start replaces what a crash left: without a lock it would replace a running one's as well.
import { closeSync, fstatSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import type { Libc } from './native/libc.js';
import { lastErrno } from './native/memory.js';

const DIRECTORY = '/run/procflow';

/**
 * Locks an interface of the calling thread's network namespace. The kernel lets go of the lock
 * when the process ends, in whatever way.
 * @returns what releases it
 * @throws BpfError EBUSY when another process holds it
 */
export function lockInterface(libc: Libc, ifindex: number, interfaceName: string): () => void {
  const directory = process.env.PROCFLOW_RUN_DIRECTORY ?? DIRECTORY;
  const { ino } = statSync('/proc/thread-self/ns/net');
  const path = `${directory}/clsact-${ino}-${ifindex}.lock`;
  for (;;) {
    const fd = openLock(directory, path);
    const errno = libc.lockFile(fd) === 0 ? 0 : lastErrno();
    if (errno === 0 && isStillAt(path, fd)) {
      return () => {
        rmSync(path, { force: true });
        closeSync(fd);
      };
    }
    closeSync(fd);
    if (errno === 0) continue; // its holder has just removed it
    if (errno === constants.errno.EWOULDBLOCK) {
      const advice = 'another procflow meters it by clsact; stop that one first';
      throw new BpfError('EBUSY', `meter interface ${interfaceName}`, advice);
    }
    throw new BpfError(getSystemErrorName(-errno), `lock ${path}`, '');
  }
}

function openLock(directory: string, path: string): number {
  try {
    mkdirSync(directory, { recursive: true });
    return openSync(path, 'w', 0o600);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    const advice = 'PROCFLOW_RUN_DIRECTORY names another directory for it';
    throw new BpfError(code, `open ${path}`, advice);
  }
}

function isStillAt(path: string, fd: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
}
