// The directory below a BPF file system in which a metering session keeps what shall outlive its process:
// maps, programs and links are there as long as their pins are (docs/adr/0019-state-across-restarts.md).
import { closeSync, constants, mkdirSync, openSync, statfsSync } from 'node:fs';
import { constants as os } from 'node:os';
import { dirname } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { BpfError } from '../bpf-error.js';
import { lockDirectory } from '../native/libc.js';
import { lastErrno } from '../native/memory.js';

export interface StateDirectory {
  readonly path: string;
  /** Lets others have it. What is in it stays. */
  readonly close: () => void;
}

const BPF_FS_MAGIC = 0xcafe4a11; // include/uapi/linux/magic.h
/** Whoever may write there can change what is metered, and whoever may read can learn it. */
const OWNER_ONLY = 0o700;

interface OpenOptions {
  /** It is not made; default: no. */
  readonly mustExist?: boolean;
}

/**
 * Makes the directory where there is none, and locks it: two sessions would take each other's links. The
 * kernel lets go of the lock when the process ends, in whatever way.
 * @throws BpfError
 */
export function openStateDirectory(
  path: string,
  { mustExist = false }: OpenOptions = {},
): StateDirectory {
  requireBpfFileSystem(path);
  const fd = openDirectory(path, mustExist);
  if (lockDirectory(fd) !== 0) {
    const errno = lastErrno();
    closeSync(fd);
    const isHeld = errno === os.errno.EWOULDBLOCK;
    const advice = isHeld
      ? 'another procflow uses it; stop that one, or give another directory'
      : '';
    throw new BpfError(
      isHeld ? 'EBUSY' : getSystemErrorName(-errno),
      `lock state directory ${path}`,
      advice,
    );
  }
  return {
    path,
    close: () => {
      closeSync(fd);
    },
  };
}

/** Also of a directory that is not there yet. */
function requireBpfFileSystem(path: string): void {
  for (let at = path; ; at = dirname(at)) {
    try {
      if (statfsSync(at).type >>> 0 === BPF_FS_MAGIC) return;
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? 'EIO';
      if (code === 'ENOENT' && at !== dirname(at)) continue;
      throw refusal(path, code);
    }
    const advice =
      'it is not on a BPF file system: give a directory below /sys/fs/bpf, and where nothing is mounted ' +
      'there: mount -t bpf bpf /sys/fs/bpf';
    throw new BpfError('ENOTSUP', `open state directory ${path}`, advice);
  }
}

function openDirectory(path: string, mustExist: boolean): number {
  try {
    if (!mustExist) mkdirSync(path, { recursive: true, mode: OWNER_ONLY });
    return openSync(path, constants.O_DIRECTORY);
  } catch (cause) {
    throw refusal(path, (cause as NodeJS.ErrnoException).code ?? 'EIO');
  }
}

function refusal(path: string, code: string): BpfError {
  const isForbidden = code === 'EACCES' || code === 'EPERM';
  const advice = isForbidden
    ? 'this user may not: run as root, or let root make the directory and give it to this user'
    : code === 'ENOENT'
      ? 'nothing is kept there'
      : '';
  return new BpfError(code, `open state directory ${path}`, advice);
}
