// Locks of files, which Node cannot take. The kernel lets go of them when the process ends, in whatever
// way. Not flock(2): that lock is anybody's who may read the file.
import { fstatSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import { loadLibc } from './native/libc.js';
import { lastErrno } from './native/memory.js';

/**
 * The writer's lock of a file that is open for writing.
 * @returns "held" when another writer has it; "shared" when there is none, but a reader's lock, which whoever
 * may read the file can take
 * @throws BpfError when it cannot be locked
 */
export function tryLockFile(fd: number): 'taken' | 'held' | 'shared' {
  const libc = loadLibc();
  for (;;) {
    if (libc.lockFile(fd) === 0) return 'taken';
    const errno = lastErrno();
    if (errno !== constants.errno.EAGAIN && errno !== constants.errno.EACCES) {
      throw new BpfError(getSystemErrorName(-errno), 'lock a file', '');
    }
    const lock = libc.lockOf(fd);
    if (lock === 'read') return 'shared';
    if (lock !== 'none') return 'held'; // none: it has just been let go
  }
}

/** Whether that process has the writer's lock of this file; false also where it cannot be seen. */
export function holdsLock(pid: number, fd: number): boolean {
  const { dev, ino } = fstatSync(fd);
  try {
    return readdirSync(`/proc/${pid}/fd`).some((name) => {
      const found = statSync(`/proc/${pid}/fd/${name}`, { throwIfNoEntry: false });
      if (found?.dev !== dev || found.ino !== ino) return false;
      const lines = readFileSync(`/proc/${pid}/fdinfo/${name}`, 'utf8');
      return /^lock:.* OFDLCK .* WRITE /m.test(lines);
    });
  } catch {
    return false;
  }
}
