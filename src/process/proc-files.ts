// What /proc says of a process that lives. A pid that was given to another process since is never
// taken for the one that is asked for: its start is compared.
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { joinArguments } from './process-event.js';

interface ProcFiles {
  /** Empty where there is none or it may not be read. */
  readonly executable: string;
  readonly commandLine: string;
}

/** /proc counts in clock ticks, which are 1/100 s on every architecture: USER_HZ. */
const NS_PER_TICK = 1e7;
/** As many as an exec event has. */
const ARGUMENTS_OCTETS = 1024;
const DELETED = / \(deleted\)$/;

/** @returns undefined when no process of this pid and start lives, or /proc does not show it */
export function readProcFiles(pid: number, startNs: number, root = '/proc'): ProcFiles | undefined {
  const directory = `${root}/${pid}`;
  const files = {
    executable: orEmpty(() => readlinkSync(`${directory}/exe`)).replace(DELETED, ''),
    commandLine: orEmpty(() => joinArguments(readBeginning(`${directory}/cmdline`))),
  };
  // Asked last: what was read before is then of this process, because it already lived.
  return isStillThere(directory, startNs) ? files : undefined;
}

/** The lines of /proc/PID/cgroup: "id:controllers:path". */
export function readCgroupLines(pid: number, startNs: number, root = '/proc'): readonly string[] {
  const directory = `${root}/${pid}`;
  const text = orEmpty(() => readFileSync(`${directory}/cgroup`, 'utf8'));
  return isStillThere(directory, startNs) ? text.split('\n').filter((line) => line !== '') : [];
}

function isStillThere(directory: string, startNs: number): boolean {
  const ticks = startTicks(orEmpty(() => readFileSync(`${directory}/stat`, 'latin1')));
  // Half a tick around its middle; and a start as a number can be rounded across its edge.
  return Math.abs(startNs / NS_PER_TICK - ticks - 0.5) < 0.500001;
}

/** Field 22 of /proc/PID/stat; NaN when it is not there. The name, field 2, can hold anything. */
export function startTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return /^\d+$/.test(fields[19] ?? '') ? Number(fields[19]) : NaN;
}

function readBeginning(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(ARGUMENTS_OCTETS);
    return buffer.subarray(0, readSync(fd, buffer));
  } finally {
    closeSync(fd);
  }
}

/** A process can end between any two calls, and some files are not for everybody. */
function orEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
