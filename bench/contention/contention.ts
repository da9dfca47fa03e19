// What two cores pay each other: packets of one flow on both, of two flows, flows that both create, and a
// sweep of a million flows beside metering. Where they slow each other down shows what more cores would.
// Usage: node build/bench/contention/contention.js [--short]
import { execFileSync } from 'node:child_process';
import { openFlowCache, type FlowCache } from '../../src/bpf-loader/flow-cache.js';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { SweepScope } from '../../src/flow/flow-source.js';
import { bringUp, createNamespacePair } from '../../test/support/network-namespace.js';
import type { Teardown } from '../../test/support/program.js';
import { timeoutsOf } from '../../test/support/timeouts.js';
import type { BenchSection } from '../bench-section.js';
import { median, medianAndSpread } from '../support/figures.js';
import { isMain, printSection } from '../support/section-text.js';
import { overlapping, startPinnedCore, type PinnedCore, type TimedRun } from './pinned-core.js';
import { loadShifting } from './shifting-program.js';

const HOUR_MS = 3_600_000;
/** What the cores can run, in this order. */
const PROGRAMS = { nothing: 0, metering: 1 } as const;
/** Source addresses of the second core, where its flows are others. */
const OTHER_BASE = 0x0b000000;
const BASE = 0x0a000000;
const ONE_FLOW = 0;
const NEW_FLOWS = -1;
const ATTEMPTS = 10;

interface Amounts {
  readonly rounds: number;
  readonly packets: number;
  readonly runs: number;
  readonly newFlows: number;
  /** In the cache while it is swept; a power of two. */
  readonly cached: number;
}

const AMOUNTS: Readonly<Record<'short' | 'full', Amounts>> = {
  full: { rounds: 5, packets: 20_000, runs: 20, newFlows: 10_000, cached: 2 ** 20 },
  short: { rounds: 2, packets: 10_000, runs: 20, newFlows: 2000, cached: 2 ** 16 },
};

/** Values of each round, by what was measured. */
class Series {
  readonly #values = new Map<string, number[]>();

  add(name: string, value: number): void {
    this.#values.set(name, [...this.of(name), value]);
  }

  of(name: string): readonly number[] {
    return this.#values.get(name) ?? [];
  }

  /** Where there is no value yet, NaN. */
  median(name: string): number {
    const values = this.of(name);
    return values.length === 0 ? NaN : median(values);
  }
}

class Stage {
  readonly cores: readonly [PinnedCore, PinnedCore];
  readonly #cache: FlowCache;
  /** Of the test runs that metered. */
  #sent = 0;
  #swept = 0;

  constructor(cores: readonly [PinnedCore, PinnedCore], cache: FlowCache) {
    this.cores = cores;
    this.#cache = cache;
  }

  async run(core: 0 | 1, order: Parameters<PinnedCore['run']>[1]): Promise<readonly TimedRun[]> {
    this.#sent += order.packets * order.runs;
    return this.cores[core].run(PROGRAMS.metering, order);
  }

  /** @returns milliseconds */
  async sweep(scope: SweepScope): Promise<number> {
    const begunMs = performance.now();
    const view = new FlowRecord();
    for await (const { bytes, count } of this.#cache.sweep(scope)) {
      for (let i = 0; i < count; i++) this.#swept += view.at(bytes, i * FLOW_RECORD.size).packets;
    }
    return performance.now() - begunMs;
  }

  async empty(): Promise<void> {
    while (this.#cache.flowCount() > 0) await this.sweep('all');
    await this.sweep('all');
  }

  /** What does not sum up. */
  inexact(): string[] {
    const { METERED_PACKETS, LOST_PACKETS } = this.#cache.counters();
    const rows: readonly (readonly [string, number])[] = [
      ['counted by the kernel', METERED_PACKETS],
      ['in records, or counted as lost', this.#swept + LOST_PACKETS],
    ];
    return rows
      .filter(([, packets]) => packets !== this.#sent)
      .map(([name, packets]) => `${this.#sent} packets were run, ${packets} are ${name}`);
  }
}

async function openStage(t: Teardown, cached: number): Promise<Stage> {
  const pair = createNamespacePair(t);
  bringUp(pair);
  const room = 2 * cached + 100_000;
  const object = BpfObject.load({ maxEntries: { flows_v4: room, flows_v6: 1 }, hooks: false });
  t.teardown(() => object.close());
  const cache = openFlowCache(object, { timeouts: timeoutsOf(HOUR_MS, HOUR_MS) });
  t.teardown(() => cache.close());
  const fds = [loadShifting(t, object), loadShifting(t, object, 'flow_ingress')];
  const cores = await Promise.all([0, 1].map((cpu) => startPinnedCore(t, cpu, pair.a.name, fds)));
  const [first, second] = cores;
  if (first === undefined || second === undefined) throw new Error('no cores');
  sweepOnSecondCore(t);
  return new Stage([first, second], cache);
}

/** Sweeps run in this process's threads. */
function sweepOnSecondCore(t: Teardown): void {
  const pid = String(process.pid);
  const said = execFileSync('taskset', ['-p', pid], { encoding: 'utf8' });
  const before = said.trim().split(' ').at(-1) ?? '';
  execFileSync('taskset', ['-a', '-p', '-c', '1', pid], { stdio: 'ignore' });
  t.teardown(() => {
    execFileSync('taskset', ['-a', '-p', before, pid], { stdio: 'ignore' });
  });
}

const nsOf = (runs: readonly TimedRun[]): number => median(runs.map(({ ns }) => ns));

/** Both at once; what each took while the other ran. Where others have a core, they may miss each other. */
async function together(run: (core: 0 | 1) => Promise<readonly TimedRun[]>): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const inBoth = overlapping(...(await Promise.all([run(0), run(1)])));
    if (inBoth.length > 0) return nsOf(inBoth);
  }
  throw new Error('the two cores never ran at the same time');
}

async function measureEstablished(stage: Stage, series: Series, amounts: Amounts): Promise<void> {
  const { packets, runs } = amounts;
  const order = { mask: ONE_FLOW, base: BASE, packets, runs };
  const other = { ...order, base: OTHER_BASE };
  for (let round = 0; round < amounts.rounds; round++) {
    series.add('empty', nsOf(await stage.cores[0].run(PROGRAMS.nothing, order)));
    series.add('one core', nsOf(await stage.run(0, order)));
    series.add('two flows', await together((core) => stage.run(core, core === 0 ? order : other)));
    series.add('one flow', await together((core) => stage.run(core, order)));
  }
}

async function measureNew(stage: Stage, series: Series, amounts: Amounts): Promise<void> {
  const order = { mask: NEW_FLOWS, base: BASE, packets: amounts.newFlows, runs: 10 };
  const other = { ...order, base: OTHER_BASE };
  for (let round = 0; round < amounts.rounds; round++) {
    await stage.empty();
    series.add('new, one core', nsOf(await stage.run(0, order)));
    await stage.empty();
    series.add(
      'new, two cores',
      await together((core) => stage.run(core, core === 0 ? order : other)),
    );
  }
  await stage.empty();
}

async function measureSweeps(stage: Stage, series: Series, amounts: Amounts): Promise<void> {
  const { cached, packets } = amounts;
  const fill = { mask: cached - 1, base: BASE, packets: cached, runs: 1 };
  const order = { ...fill, packets, runs: 1 };
  await stage.run(0, fill);
  for (let round = 0; round < amounts.rounds; round++) {
    series.add('cached, one core', nsOf(await stage.run(0, { ...order, runs: amounts.runs })));
    series.add('sweep alone', await stage.sweep('expired'));
    const [ns, sweepMs] = await besideSweep(stage, order);
    series.add('cached, beside a sweep', ns);
    series.add('sweep beside metering', sweepMs);
  }
}

/** Meters on one core as long as the other sweeps. */
async function besideSweep(
  stage: Stage,
  order: Parameters<PinnedCore['run']>[1],
): Promise<readonly [number, number]> {
  const sweep = { isOver: false };
  const sweeping = stage.sweep('expired').finally(() => (sweep.isOver = true));
  const metered: TimedRun[] = [];
  do metered.push(...(await stage.run(0, order)));
  while (!sweep.isOver);
  return [nsOf(metered), await sweeping];
}

const ROWS = [
  ['the test run itself, and a changed address', 'empty', 'empty', 'ns a packet'],
  ['one flow, one core', 'one core', 'one core', 'ns a packet'],
  ['two flows, a core each', 'two flows', 'one core', 'ns a packet'],
  ['one flow on both cores', 'one flow', 'one core', 'ns a packet'],
  ['new flows, one core', 'new, one core', 'new, one core', 'ns a packet'],
  ['new flows, on both cores', 'new, two cores', 'new, one core', 'ns a packet'],
  ['many flows, one core', 'cached, one core', 'cached, one core', 'ns a packet'],
  [
    'many flows, beside a sweep on the other core',
    'cached, beside a sweep',
    'cached, one core',
    'ns a packet',
  ],
  ['a sweep that finds none expired', 'sweep alone', 'sweep alone', 'ms'],
  ['the same beside metering', 'sweep beside metering', 'sweep alone', 'ms'],
] as const;

export async function measureContention(
  t: Teardown,
  length: 'short' | 'full',
): Promise<BenchSection> {
  const amounts = AMOUNTS[length];
  const stage = await openStage(t, amounts.cached);
  const series = new Series();
  await measureEstablished(stage, series, amounts);
  await measureNew(stage, series, amounts);
  await measureSweeps(stage, series, amounts);
  await stage.empty();
  const above = (name: string): number => series.median(name) - series.median('empty');
  const ratio = (name: string, to: string): string =>
    `${(above(name) / above(to)).toFixed(2)} times the cost above the empty run`;
  return {
    title: 'Two cores on one cache',
    notes: [
      'flow_ingress in BPF_PROG_TEST_RUN, a process pinned to each CPU; only what ran while the other ran is counted.',
      `Many flows are ${amounts.cached}, one packet each in turn. No packet has a process.`,
      'One flow on both cores costs no more where they share a cache, as two threads of a core do.',
    ],
    header: ['', 'median (least to most)', 'unit', 'to one core'],
    rows: ROWS.map(([text, name, base, unit]) => [
      text,
      medianAndSpread(series.of(name), unit === 'ms' ? 0 : 1),
      unit,
      name === base ? '-' : `x ${(series.median(name) / series.median(base)).toFixed(2)}`,
    ]),
    goals: [
      {
        text: 'cores with flows of their own do not slow each other down',
        measured: ratio('two flows', 'one core'),
        isMet: above('two flows') <= 1.25 * above('one core'),
      },
    ],
    inexact: stage.inexact(),
  };
}

if (isMain(import.meta.url)) await printSection(measureContention);
