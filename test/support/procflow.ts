// The program under test, run as a user runs it: started, waited for, stopped, its summary read.
import { join } from 'node:path';
import type { Namespace } from './network-namespace.js';
import { startProgram, type Program, type ProgramEnd, type Teardown } from './program.js';
import { PROJECT_ROOT } from './requirements.js';

/** Without NODE_OPTIONS, by which tap would put itself into the program under test. */
export const PROCFLOW = ['env', '-u', 'NODE_OPTIONS', join(PROJECT_ROOT, 'bin/procflow')] as const;

/** A program of its own, likewise. */
export const NODE = ['env', '-u', 'NODE_OPTIONS', process.execPath] as const;

interface MeteringOptions {
  readonly namespace?: Namespace;
  readonly interfaces: readonly string[];
  readonly cgroup: string;
  /** Further options as they stand on a command line. */
  readonly options?: readonly string[];
}

export type ExportOptions = MeteringOptions &
  (
    | {
        readonly version: 9 | 10;
        /** Of the collector on 127.0.0.1. */
        readonly port: number;
      }
    /** As -n has them. */
    | { readonly destinations: readonly string[] }
  );

/** What procflow says of itself when it ends. */
export interface Summary {
  readonly end: ProgramEnd;
  readonly lines: readonly string[];
  /** Flow records exported. */
  readonly records: number;
  readonly packets: number;
  readonly octets: number;
  /** The kernel's counters, by their names in bpf/flow_contract.h. */
  readonly counter: (name: string) => number;
}

export interface RunningExport {
  readonly program: Program;
  /** SIGTERM: every flow is exported, then the summary comes. */
  stop(signal?: NodeJS.Signals): Promise<Summary>;
}

export function startProcflow(
  t: Teardown,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Program {
  const [command, ...before] = PROCFLOW;
  return startProgram(t, command, [...before, ...args], env);
}

function exportArguments(options: ExportOptions): string[] {
  const { namespace } = options;
  const collectors =
    'destinations' in options
      ? options.destinations.flatMap((destination) => ['-n', destination])
      : ['-n', `127.0.0.1:${options.port}`, '-v', String(options.version)];
  return [
    'export',
    ...options.interfaces.flatMap((name) => ['-i', name]),
    ...collectors,
    ...['--cgroup', options.cgroup],
    ...(namespace === undefined ? [] : ['--netns', namespace.name]),
    ...(options.options ?? []),
  ];
}

/** Resolves once packets are metered. */
export async function startExport(t: Teardown, options: ExportOptions): Promise<RunningExport> {
  const program = startProcflow(t, exportArguments(options));
  await program.line('err', /^procflow: metering/);
  return {
    program,
    async stop(signal = 'SIGTERM') {
      const end = await program.stop(signal);
      return readSummary(end, program.err);
    },
  };
}

export function readSummary(end: ProgramEnd, lines: readonly string[]): Summary {
  const text = lines.join('\n');
  const read = (pattern: RegExp): number => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`no ${pattern.source} in the summary:\n${text}`);
    return Number(found);
  };
  return {
    end,
    lines,
    records: read(/(\d+) flow records/),
    packets: read(/(\d+) packets/),
    octets: read(/(\d+) octets/),
    counter: (name) => read(new RegExp(`${name}\\W+(\\d+)`)),
  };
}

/** Runs procflow to its end, for what it refuses to do. */
export async function runProcflow(
  t: Teardown,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ readonly end: ProgramEnd; readonly out: string; readonly err: string }> {
  const program = startProcflow(t, args, { ...process.env, ...env });
  const end = await program.ended;
  return { end, out: program.out.join('\n'), err: program.err.join('\n') };
}
