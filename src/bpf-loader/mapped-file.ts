// A file of a fixed length in memory: what is stored there outlives the process. Its room is taken from the
// disk at the start, because a store for which there is none would be the end of the process.
import { closeSync, constants, fstatSync, openSync, rmSync } from 'node:fs';
import { constants as os } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import { loadLibc } from './native/libc.js';
import { lastErrno } from './native/memory.js';
import { allocateFile, mapShared, unmapShared } from './native/shared-memory.js';

/** The memory has whole words. */
const WORD_OCTETS = 8;

export interface MappedFile {
  /** All of the file, which may have another length than it would be made with. */
  readonly bytes: Buffer;
  /** Nobody may use the memory after. */
  readonly close: () => void;
}

/**
 * Makes the file where there is none, of zeros. Nobody else can open it so until it is closed.
 * @throws BpfError EBUSY when another process has it, ENOSPC when there is no room
 */
export function openMappedFile(path: string, octets: number): MappedFile {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  } catch (cause) {
    throw new BpfError((cause as NodeJS.ErrnoException).code ?? 'EIO', `open ${path}`, '');
  }
  try {
    lock(fd, path);
    const bytes = mapShared(fd, allocate(fd, path, octets));
    return {
      bytes,
      close: () => {
        unmapShared(bytes);
        closeSync(fd);
      },
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function lock(fd: number, path: string): void {
  if (loadLibc().lockFile(fd) === 0) return;
  const errno = lastErrno();
  if (errno !== os.errno.EWOULDBLOCK && errno !== os.errno.EACCES) {
    throw new BpfError(getSystemErrorName(-errno), `lock ${path}`, '');
  }
  throw new BpfError('EBUSY', `open ${path}`, 'another procflow has it');
}

/** Also of a file that is there: a copy of one may have holes. Returns how long it is. */
function allocate(fd: number, path: string, octets: number): number {
  const { size } = fstatSync(fd);
  const wanted = size === 0 ? octets : size - (size % WORD_OCTETS);
  const errno = wanted === 0 ? os.errno.EINVAL : allocateFile(fd, wanted);
  if (errno === 0) return wanted;
  if (size === 0) rmSync(path, { force: true });
  throw new BpfError(getSystemErrorName(-errno), `take ${wanted} octets of disk for ${path}`, '');
}
