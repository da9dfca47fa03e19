// What procflow adds to a send or receive call: the same calls with nothing attached, with empty
// programs at procflow's hooks, and with procflow's, by turns in the same run.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { BpfObject, type LoadedPrograms } from '../../src/bpf-loader/bpf-object.js';
import { attachSocketHooks } from '../../src/bpf-loader/socket-hooks.js';
import { startIn } from '../../test/support/generators.js';
import { createNamespace } from '../../test/support/network-namespace.js';
import type { Program, Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import {
  enableRunTimes,
  othersAreAttached,
  runsNow,
  runsSince,
} from '../support/bpf-statistics.js';
import type { ProgramRuns } from '../support/bpf-statistics.js';
import { loadEmptyTwin } from '../empty-twin/empty-twin.js';

const TIME_CALLS = join(PROJECT_ROOT, 'build/bench/generators/time-calls');
const SETTINGS = ['nothing', 'empty', 'procflow'] as const;
type Setting = (typeof SETTINGS)[number];

/** Nanoseconds a call, one value a round. */
export interface CallTimes {
  readonly call: string;
  readonly ns: Readonly<Record<Setting, readonly number[]>>;
}

export interface CallCost {
  readonly calls: readonly CallTimes[];
  /** Time in each program, by the kernel's statistics, which are part of it. */
  readonly runs: Readonly<Record<Exclude<Setting, 'nothing'>, readonly ProgramRuns[]>>;
  /** Rounds during which programs of others were attached, though they were repeated as long as it goes. */
  readonly disturbedRounds: number;
}

interface CallCostOptions {
  readonly rounds: number;
  /** Rounds that may be repeated. */
  readonly repetitions: number;
  /** Of 32 calls, of each kind, a round and setting. */
  readonly batches: number;
}

type Times = Map<string, number>;

class Caller {
  readonly #program: Program;
  #rounds = 0;

  constructor(program: Program) {
    this.#program = program;
  }

  async measure(): Promise<Times> {
    const before = this.#program.reports.length;
    this.#program.write('\n');
    this.#rounds++;
    await this.#program.report('round', this.#rounds);
    const times: Times = new Map();
    for (const { event, kind, send_ns, receive_ns } of this.#program.reports.slice(before)) {
      if (event !== 'timed') continue;
      times.set(`send, ${String(kind)}`, Number(send_ns));
      times.set(`receive, ${String(kind)}`, Number(receive_ns));
    }
    return times;
  }
}

export async function measureCallCost(t: Teardown, options: CallCostOptions): Promise<CallCost> {
  const cgroup = createCgroup(t);
  const real = BpfObject.load({ maxEntries: {} });
  t.teardown(() => real.close());
  const empty = loadEmptyTwin(real.unavailable);
  t.teardown(() => empty.close());
  const programs = { nothing: undefined, empty, procflow: real };

  const place = { namespace: createNamespace(t), cgroup };
  const cpu = String(availableParallelism() - 1);
  const generator = startIn(t, place, TIME_CALLS, cpu, String(options.batches));
  await generator.report('ready');
  const caller = new Caller(generator);
  const measure = async (setting: Setting): Promise<Times> =>
    whileAttached(programs[setting], cgroup, () => caller.measure());

  const rounds: Record<Setting, Times>[] = [];
  let disturbedRounds = 0;
  for (let turn = 0; rounds.length < options.rounds; turn++) {
    const round: Partial<Record<Setting, Times>> = {};
    let isDisturbed = othersAreAttached();
    for (let i = 0; i < SETTINGS.length; i++) {
      const setting = SETTINGS[(turn + i) % SETTINGS.length] ?? 'nothing';
      round[setting] = await measure(setting);
      isDisturbed ||= othersAreAttached();
    }
    // With others at the same hooks "nothing" is not nothing. But a machine that is never quiet shall
    // have figures too.
    const turnsLeft = options.rounds + options.repetitions - turn - 1;
    if (isDisturbed && turnsLeft >= options.rounds - rounds.length) continue;
    if (isDisturbed) disturbedRounds++;
    rounds.push(round as Record<Setting, Times>);
  }
  const runs = {
    empty: await countRuns(() => measure('empty')),
    procflow: await countRuns(() => measure('procflow')),
  };
  return { calls: byCall(rounds), runs, disturbedRounds };
}

async function whileAttached<Result>(
  programs: LoadedPrograms | undefined,
  cgroup: string,
  body: () => Promise<Result>,
): Promise<Result> {
  if (programs === undefined) return body();
  const hooks = attachSocketHooks(programs, cgroup, () => undefined);
  try {
    return await body();
  } finally {
    hooks.close();
  }
}

async function countRuns(body: () => Promise<unknown>): Promise<readonly ProgramRuns[]> {
  const disable = enableRunTimes();
  try {
    const before = runsNow();
    await body();
    return runsSince(before);
  } finally {
    disable();
  }
}

function byCall(rounds: readonly Record<Setting, Times>[]): readonly CallTimes[] {
  const of = (setting: Setting, call: string): number[] =>
    rounds.map((round) => round[setting].get(call) ?? NaN);
  return [...(rounds[0]?.nothing.keys() ?? [])].map((call) => ({
    call,
    ns: {
      nothing: of('nothing', call),
      empty: of('empty', call),
      procflow: of('procflow', call),
    },
  }));
}
