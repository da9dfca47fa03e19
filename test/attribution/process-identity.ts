// Who a process is, for programs that do not report it themselves: read from /proc while it runs.
import { readFileSync } from 'node:fs';
import { startIn } from '../support/generators.js';
import type { Program } from '../support/program.js';
import type { Scene, Who } from './case.js';

const MS_PER_TICK = 10;

const READINGS = 5;

/**
 * When the host was booted: /proc/uptime is exact in the moment in which it changes. Of several
 * readings the earliest: another process may have had the CPU in between.
 */
function bootEpochMs(): number {
  return Math.min(...Array.from({ length: READINGS }, readBootEpochMs));
}

function readBootEpochMs(): number {
  const read = (): string => readFileSync('/proc/uptime', 'utf8').split(' ')[0] ?? '';
  const before = read();
  for (;;) {
    const uptime = read();
    if (uptime !== before) return Date.now() - Number(uptime) * 1000;
  }
}

/** As a generator's report() gives it: see test/generators/generator.h. */
export function identityOf(pid: number): Exclude<Who, string> {
  // "pid (comm) state ...", the start is the 22nd: see proc_pid_stat(5)
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const comm = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, comm, start_ms: bootEpochMs() + Number(fields[22 - 3]) * MS_PER_TICK };
}

export interface Launched {
  readonly program: Program;
  readonly who: Exclude<Who, string>;
}

/**
 * Any program on the metered host, under this path's name. A shell waits for a word and becomes the
 * program, so who it is can be read before it has done anything.
 */
export function launch(
  { t, here }: Pick<Scene, 't' | 'here'>,
  path: string,
  ...args: readonly string[]
): Launched {
  const script = 'unset NODE_OPTIONS; read word; exec "$0" "$@"'; // by which tap adds itself
  const program = startIn(t, here, 'sh', '-c', script, path, ...args);
  const comm = path.slice(path.lastIndexOf('/') + 1);
  const who = { ...identityOf(program.pid), comm };
  program.write('\n');
  return { program, who };
}
