// What the kernel says of BPF programs: run time, and which others are attached meanwhile.
import { execFileSync } from 'node:child_process';
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import koffi from 'koffi';

const BPF_STATS_RUN_TIME = 0;

export interface ProgramRuns {
  readonly name: string;
  readonly runs: number;
  readonly ns: number;
}

/** Run times are counted until the function returned is called. Kernel 5.8. */
export function enableRunTimes(): () => void {
  const enable: (type: number) => number = koffi
    .load('libbpf.so.1')
    .func('int bpf_enable_stats(int type)');
  const fd = enable(BPF_STATS_RUN_TIME);
  if (fd < 0) throw new Error(`bpf_enable_stats: error ${fd}`);
  return () => {
    closeSync(fd);
  };
}

interface OwnProgram {
  readonly runs: number;
  readonly ns: number;
}

/** Programs that this process has loaded, by their id. */
function ownPrograms(): Map<number, OwnProgram> {
  const found = new Map<number, OwnProgram>();
  for (const fd of readdirSync('/proc/self/fd')) {
    let info: string;
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== 'anon_inode:bpf-prog') continue;
      info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    } catch {
      continue; // the descriptor of the directory itself is gone by now
    }
    const number = (name: string): number =>
      Number(new RegExp(`^${name}:\\s*(\\d+)$`, 'm').exec(info)?.[1] ?? 0);
    found.set(number('prog_id'), { runs: number('run_cnt'), ns: number('run_time_ns') });
  }
  return found;
}

interface ListedObject {
  readonly id: number;
  readonly name?: string;
  readonly type?: string;
  readonly prog_id?: number;
}

function list(what: 'prog' | 'link'): readonly ListedObject[] {
  const printed = execFileSync('bpftool', ['-j', what, 'show'], { encoding: 'utf8' });
  return printed === '' ? [] : (JSON.parse(printed) as ListedObject[]);
}

/** What ran since `before`, and how long; programs that did not run are left out. */
export function runsSince(before: ReadonlyMap<number, OwnProgram>): readonly ProgramRuns[] {
  const names = new Map(list('prog').map(({ id, name }) => [id, name]));
  return [...ownPrograms()].flatMap(([id, { runs, ns }]) => {
    const was = before.get(id) ?? { runs: 0, ns: 0 };
    const row = { name: names.get(id) ?? String(id), runs: runs - was.runs, ns: ns - was.ns };
    return row.runs > 0 ? [row] : [];
  });
}

export const runsNow = ownPrograms;

/** Kinds of links that can be at the same hooks. */
const HOOKED = new Set(['raw_tracepoint', 'tracing', 'cgroup']);

/** Whether programs of other processes are attached: another procflow, say, at the same hooks. */
export function othersAreAttached(): boolean {
  const own = ownPrograms();
  return list('link').some(({ type, prog_id }) => HOOKED.has(type ?? '') && !own.has(prog_id ?? 0));
}
