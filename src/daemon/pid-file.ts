// The pid file: the number of the process that meters, for scripts that end it. Locked as long as it
// lives, so that a second procflow does not take the file of the first.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { tryLockFile } from '../bpf-loader/file-lock.js';
import { ConfigError } from './config-error.js';

export interface PidFile {
  readonly path: string;
  /** Removes it, where it is still this one. */
  readonly remove: () => void;
}

const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
const ATTEMPTS = 10;

/**
 * Writes this process's id. A file that nobody holds is of a run that has ended and replaced, as softflowd
 * replaces any.
 * @throws ConfigError when the file cannot be had, or a living procflow holds it
 */
export function writePidFile(givenPath: string): PidFile {
  const path = resolve(givenPath);
  const setting = `-p ${givenPath}`;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const fd = openPidFile(setting, path);
    if (!fstatSync(fd).isFile()) {
      closeSync(fd);
      throw new ConfigError(setting, 'is not a regular file', 'choose another path');
    }
    if (!tryLockFile(fd)) {
      const holder = readFileSync(path, 'utf8').trim();
      closeSync(fd);
      const advice = 'stop it, or choose another file';
      throw new ConfigError(setting, `is held by procflow, process ${holder}`, advice);
    }
    const { ino } = fstatSync(fd);
    if (lstatSync(path, { throwIfNoEntry: false })?.ino !== ino) {
      closeSync(fd); // whoever held it has just removed it
      continue;
    }
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
    return {
      path,
      remove: () => {
        remove(path, fd);
      },
    };
  }
  throw new ConfigError(setting, 'is removed again and again', 'does something else use it?');
}

function openPidFile(setting: string, path: string): number {
  try {
    return openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o644);
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    const advice =
      code === 'ELOOP'
        ? 'it is a symbolic link; choose another path'
        : 'its directory must exist and be writable';
    throw new ConfigError(setting, `the pid file cannot be written: ${code}`, advice);
  }
}

function remove(path: string, fd: number): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.ino === fstatSync(fd).ino) rmSync(path, { force: true });
  closeSync(fd);
}
