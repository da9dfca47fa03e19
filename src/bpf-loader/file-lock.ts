// Locks of files, which Node cannot take. The kernel lets go of them when the process ends, in whatever
// way.
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import { loadLibc } from './native/libc.js';
import { lastErrno } from './native/memory.js';

/**
 * @returns false when another process holds it
 * @throws BpfError when it cannot be locked
 */
export function tryLockFile(fd: number): boolean {
  if (loadLibc().lockFile(fd) === 0) return true;
  const errno = lastErrno();
  if (errno === constants.errno.EWOULDBLOCK) return false;
  throw new BpfError(getSystemErrorName(-errno), 'lock a file', '');
}
