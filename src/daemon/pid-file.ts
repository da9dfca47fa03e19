// The pid file: the number of the process that meters, for scripts that end it. Locked as long as it
// lives, so that a second procflow does not take the file of the first.
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { holdsLock, tryLockFile } from '../bpf-loader/file-lock.js';
import { ConfigError } from './config-error.js';

export interface PidFile {
  readonly path: string;
  /** Removes it, where it is still this one. */
  readonly remove: () => void;
}

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
const ATTEMPTS = 10;
const MODE = 0o644;
const MAX_PID_OCTETS = 16;

/**
 * Writes this process's id. A file that nobody holds is of a run that has ended and replaced, as softflowd
 * replaces any.
 * @throws ConfigError when the file cannot be had, or a living procflow holds it
 */
export function writePidFile(givenPath: string): PidFile {
  const path = resolve(givenPath);
  const setting = `-p ${givenPath}`;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { fd, isNew } = openPidFile(setting, path);
    let isOurs = false;
    try {
      isOurs = isTaken(setting, path, fd);
    } finally {
      if (!isOurs) closeSync(fd);
    }
    if (!isOurs) continue;
    if (isNew) fchmodSync(fd, MODE & ~umask());
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
    return {
      path,
      remove: () => {
        if (isAt(path, fd)) removeOrEmpty(path, fd);
        closeSync(fd);
      },
    };
  }
  throw new ConfigError(setting, 'is removed again and again', 'does something else use it?');
}

/** The user that this process has become may not have the right to remove it. */
function removeOrEmpty(path: string, fd: number): void {
  try {
    rmSync(path, { force: true });
  } catch {
    ftruncateSync(fd);
  }
}

/** A new one can be opened by nobody else until it is locked. */
function openPidFile(setting: string, path: string): { fd: number; isNew: boolean } {
  const flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
  try {
    const fd = openNew(path, flags | O_EXCL);
    return { fd: fd ?? openSync(path, flags, MODE), isNew: fd !== undefined };
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    const advice =
      code === 'ELOOP'
        ? 'it is a symbolic link; choose another path'
        : 'its directory must exist and be writable';
    throw new ConfigError(setting, `the pid file cannot be written: ${code}`, advice);
  }
}

function openNew(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

function umask(): number {
  const mask = process.umask(0o077);
  process.umask(mask);
  return mask;
}

/**
 * Whether the open file is locked now, and still the one of that name.
 * @throws ConfigError when another process has it
 */
function isTaken(setting: string, path: string, fd: number): boolean {
  if (!fstatSync(fd).isFile()) {
    throw new ConfigError(setting, 'is not a regular file', 'choose another path');
  }
  switch (tryLockFile(fd)) {
    case 'taken':
      return isAt(path, fd); // whoever held it may just have removed it
    case 'held':
      throw new ConfigError(setting, holderText(fd), 'stop it, or choose another file');
    case 'shared':
      // Of somebody who may only read it, and is to keep nobody from starting: it makes place for another.
      if (isAt(path, fd)) removeShared(setting, path);
      return false;
  }
}

function removeShared(setting: string, path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    const reason = `is locked by a process that reads it, and cannot be replaced: ${code}`;
    throw new ConfigError(setting, reason, 'choose another path');
  }
}

/** What stands in the file need not be of whoever has locked it. */
function holderText(fd: number): string {
  const octets = Buffer.alloc(MAX_PID_OCTETS);
  const text = octets.toString('latin1', 0, readSync(fd, octets, 0, MAX_PID_OCTETS, 0));
  const [, pid] = /^([1-9]\d{0,9})\n/.exec(text) ?? [];
  return pid !== undefined && holdsLock(Number(pid), fd)
    ? `is held by procflow, process ${pid}`
    : 'is locked by another process';
}

function isAt(path: string, fd: number): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  const { dev, ino } = fstatSync(fd);
  return found?.dev === dev && found.ino === ino;
}
