// Export: from the kernel's flow cache to the wire, in CPU time of the exporter, and how long sweeps take.
// Alone: export.js [--short]
import { join } from 'node:path';
import { startIn } from '../../test/support/generators.js';
import type { NamespacePair } from '../../test/support/network-namespace.js';
import type { Program, Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import type { BenchSection, Goal } from '../bench-section.js';
import { makeFlows } from '../memory/traffic.js';
import { median, medianAndSpread } from '../support/figures.js';
import { createQuietWire } from '../support/quiet-wire.js';
import { isMain, printSection, type BenchLength } from '../support/section-text.js';
import { TARGETS, type Swept, type TargetName } from './sweep-order.js';

const WORKER = join(PROJECT_ROOT, 'build/bench/export/export-worker.js');
const COLLECTOR_PORT = 9995;
/** A socket that is never read: the kernel drops what does not fit, and nobody else takes CPU time. */
const DEAF_COLLECTOR = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], ${COLLECTOR_PORT}))
print('ready', flush=True)
time.sleep(1e6)`;
const LENGTHS = {
  short: { rounds: 1, flows: 10_000, cached: [1000, 10_000] },
  full: { rounds: 5, flows: 100_000, cached: [1000, 10_000, 100_000, 1_000_000] },
} as const;
const FIRST_PORT = 1000;
const LEAST_RECORDS_A_SECOND = 500_000;
const LONGEST_PAUSE_MS = 20;
const LONGEST_WALK_MS = 150;
const MILLION = 1_000_000;

interface Stage {
  readonly t: Teardown;
  readonly pair: NamespacePair;
  readonly worker: Program;
}

export async function measureExport(t: Teardown, length: BenchLength): Promise<BenchSection> {
  const stage = await openStage(t);
  const { rounds, flows, cached } = LENGTHS[length];
  const orders = new Orders(stage);
  const names = Object.keys(TARGETS) as TargetName[];
  for (const name of names) await orders.expire(name, flows / 10); // compiled by then
  const runs = new Map<TargetName, Swept[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) runs.get(name)?.push(await orders.expire(name, flows));
  }
  const sweeps: SweepRow[] = [];
  for (const number of cached) {
    const looks = [];
    await orders.fill(number);
    for (let round = 0; round < rounds; round++)
      looks.push(await orders.sweep('read only', 'expired'));
    sweeps.push({ cached: number, looks, expiry: await orders.sweep('IPFIX', 'all') });
  }
  stage.worker.endInput();
  await stage.worker.success();
  return {
    title: 'Export',
    notes: [
      `Every one of ${flows} flows expires in one sweep and goes over a wire. Records a second are those of a second of ` +
        'CPU time: of all threads of the exporter, the walk in the kernel and the way of the datagrams to the ' +
        'socket of the receiving host included. “Read only” counts records and drops them; node:dgram is what ' +
        'is there without sendmmsg.',
      'The longest pause of the garbage collector and delay of the event loop are told of each sweep; others who have ' +
        'the CPUs delay it too, so beside it stands for how long it was held up by its own work, in CPU time of its thread.',
      'Then sweeps by the number of flows in the cache: none expired, and all of them, to IPFIX.',
    ],
    header: [
      '',
      'records/s',
      'us a record',
      'of it kernel',
      'records/s by the clock',
      'longest GC, ms',
      'longest delay, ms',
      'own work, ms',
    ],
    rows: [
      ...[...runs].map(([name, swept]) => rateCells(name, swept)),
      ...sweeps.flatMap(sweepCells),
    ],
    goals: [...rateGoals(runs), ...walkGoals(sweeps)],
    inexact: orders.inexact,
  };
}

async function openStage(t: Teardown): Promise<Stage> {
  const pair = createQuietWire(t);
  const { a, b } = pair;
  const collector = startIn(t, { namespace: b }, 'python3', '-c', DEAF_COLLECTOR, b.ipv4);
  await collector.line('out', /^ready$/);
  const arguments_ = [a.interfaceName, b.ipv4, String(COLLECTOR_PORT)];
  const node = [process.execPath, WORKER, ...arguments_] as const;
  const worker = startIn(t, { namespace: a }, ...node);
  await worker.report('ready');
  return { t, pair, worker };
}

class Orders {
  readonly inexact: string[] = [];
  readonly #stage: Stage;
  #orders = 0;
  #fills = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async fill(flows: number): Promise<void> {
    const { t, pair } = this.#stage;
    this.#fills++;
    await makeFlows(t, pair.a, { flows, port: FIRST_PORT + this.#fills });
  }

  async sweep(name: TargetName, scope: 'all' | 'expired'): Promise<Swept> {
    const { worker } = this.#stage;
    worker.write(`${JSON.stringify({ name, scope })}\n`);
    return (await worker.report('swept', ++this.#orders)) as unknown as Swept;
  }

  async expire(name: TargetName, flows: number): Promise<Swept> {
    await this.fill(flows);
    const swept = await this.sweep(name, 'all');
    // The exporter's own messages are a flow, too.
    if (swept.records < flows || swept.records > flows + Object.keys(TARGETS).length) {
      this.inexact.push(`${name}: ${flows} flows, ${swept.records} records`);
    }
    if (TARGETS[name] !== undefined && swept.exported !== swept.records) {
      this.inexact.push(`${name}: ${swept.records} records, ${swept.exported} exported`);
    }
    return swept;
  }
}

interface SweepRow {
  readonly cached: number;
  /** Of which none had expired. */
  readonly looks: readonly Swept[];
  readonly expiry: Swept;
}

/** In a second of CPU time. */
function rateOf({ records, userUs, systemUs }: Swept): number {
  return (records * 1e6) / (userUs + systemUs);
}

function rateCells(name: string, swept: readonly Swept[]): readonly string[] {
  return [
    name,
    medianAndSpread(swept.map(rateOf), 0),
    medianAndSpread(
      swept.map((one) => 1e6 / rateOf(one)),
      2,
    ),
    median(swept.map(({ systemUs, records }) => systemUs / records)).toFixed(2),
    median(swept.map(({ records, ms }) => (records * 1000) / ms)).toFixed(0),
    ...pauseCells(swept),
  ];
}

function pauseCells(swept: readonly Swept[]): readonly string[] {
  return [
    medianAndSpread(
      swept.map(({ longestPauseMs }) => longestPauseMs),
      1,
    ),
    medianAndSpread(
      swept.map(({ longestDelayMs }) => longestDelayMs),
      1,
    ),
    medianAndSpread(
      swept.map(({ longestTurnMs }) => longestTurnMs),
      1,
    ),
  ];
}

function sweepCells({ cached, looks, expiry }: SweepRow): (readonly string[])[] {
  const walk = medianAndSpread(
    looks.map(({ sweptMs }) => sweptMs),
    1,
  );
  const kernel = median(looks.map(({ systemUs }) => systemUs / 1000)).toFixed(1);
  return [
    [
      `${cached} flows, none expired`,
      '-',
      `${walk} ms in all`,
      `${kernel} ms`,
      '-',
      ...pauseCells(looks),
    ],
    [
      `${cached} flows, all expired`,
      rateOf(expiry).toFixed(0),
      `${expiry.ms.toFixed(1)} ms in all`,
      (expiry.systemUs / expiry.records).toFixed(2),
      ((expiry.records * 1000) / expiry.ms).toFixed(0),
      ...pauseCells([expiry]),
    ],
  ];
}

function rateGoals(runs: ReadonlyMap<TargetName, readonly Swept[]>): Goal[] {
  const goals: Goal[] = [];
  for (const name of ['v9', 'IPFIX'] as const) {
    const swept = runs.get(name) ?? [];
    const rate = median(swept.map(rateOf));
    goals.push({
      text: `${name} with process fields: at least ${LEAST_RECORDS_A_SECOND} records a second of one CPU`,
      measured: rate.toFixed(0),
      isMet: rate >= LEAST_RECORDS_A_SECOND,
    });
    const pauses = swept.map(({ longestPauseMs }) => longestPauseMs);
    const turns = swept.map(({ longestTurnMs }) => longestTurnMs);
    goals.push(
      pauseGoal(`${name}: no pause of the garbage collector`, pauses),
      pauseGoal(`${name}: the event loop held up by its own work not`, turns),
    );
  }
  return goals;
}

function pauseGoal(text: string, ms: readonly number[]): Goal {
  return {
    text: `${text} over ${LONGEST_PAUSE_MS} ms`,
    measured: `${medianAndSpread(ms, 1)} ms`,
    isMet: median(ms) <= LONGEST_PAUSE_MS,
  };
}

function walkGoals(sweeps: readonly SweepRow[]): Goal[] {
  return sweeps
    .filter(({ cached }) => cached === MILLION)
    .map(({ looks }) => {
      const kernelMs = median(looks.map(({ systemUs }) => systemUs / 1000));
      return {
        text: `sweep of ${MILLION} flows of which none expired: at most ${LONGEST_WALK_MS} ms of kernel time`,
        measured: `${kernelMs.toFixed(1)} ms`,
        isMet: kernelMs <= LONGEST_WALK_MS,
      };
    });
}

if (isMain(import.meta.url)) await printSection(measureExport);
