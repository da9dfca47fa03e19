// Starts the traffic generators of test/generators in a namespace and a cgroup, under any name.
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Namespace } from './network-namespace.js';
import { startProgram, type Program, type Report, type Teardown } from './program.js';
import { PROJECT_ROOT } from './requirements.js';

export const GENERATORS = join(PROJECT_ROOT, 'build/test/generators');

export type GeneratorName =
  | 'burst'
  | 'exec-after-open'
  | 'fork-and-send'
  | 'frame-sender'
  | 'icmp-echo'
  | 'io-receiver'
  | 'io-sender'
  | 'new-pid-namespace'
  | 'pass-descriptor'
  | 'raw-receiver'
  | 'raw-sender'
  | 'renaming-sender'
  | 'same-pid'
  | 'shared-sender'
  | 'socket-activator'
  | 'tcp-client'
  | 'tcp-server'
  | 'threads'
  | 'tun-echo'
  | 'udp-client'
  | 'udp-server';

export interface Place {
  readonly namespace: Namespace;
  /** The cgroup in which the exporter watches sockets. */
  readonly cgroup?: string;
}

/** A path to the program whose last part is `name`, and with it what the kernel calls it. */
export function nameProgram(t: Teardown, program: string, name: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-names-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, name);
  symlinkSync(program, path);
  return path;
}

/** Any program, entered into the place before its first act. */
export function startIn(t: Teardown, place: Place, command: string, ...args: string[]): Program {
  const cgroup = place.cgroup === undefined ? [] : ['--cgroup', place.cgroup];
  const where = ['--netns', place.namespace.path, ...cgroup, '--'];
  return startProgram(t, join(GENERATORS, 'run-in'), [...where, command, ...args]);
}

/** `generator` under its own name, or as [generator, name]. */
export function startGenerator(
  t: Teardown,
  place: Place,
  generator: GeneratorName | readonly [GeneratorName, string],
  ...args: readonly (string | number)[]
): Program {
  const [program, name] = typeof generator === 'string' ? [generator, generator] : generator;
  const path = join(GENERATORS, program);
  const command = program === name ? path : nameProgram(t, path, name);
  return startIn(t, place, command, ...args.map(String));
}

/** Runs a generator to its end and returns its last report. */
export async function runGenerator(
  t: Teardown,
  place: Place,
  generator: GeneratorName | readonly [GeneratorName, string],
  ...args: readonly (string | number)[]
): Promise<Report> {
  const reports = await startGenerator(t, place, generator, ...args).success();
  const last = reports.at(-1);
  if (last === undefined) throw new Error(`${String(generator)} reported nothing`);
  return last;
}
