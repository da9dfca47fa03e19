// What metering costs on traffic, and what arrives of it: procflow, softflowd and pmacctd by turns.
// Usage: node build/bench/traffic/traffic.js [--short]
import type { BenchSection, Goal } from '../bench-section.js';
import { median, medianAndSpread, percentage } from '../support/figures.js';
import { isMain, printSection, type BenchLength } from '../support/section-text.js';
import { unequalSums } from './exact-sums.js';
import type { ExporterName } from './exporters.js';
import { countFlows, runTraffic, type ExporterRun, type Scenario } from './traffic-run.js';
import type { TrafficRun } from './traffic-run.js';

const SETTINGS = ['nothing', 'hooks', 'procflow', 'softflowd', 'pmacctd'] as const;
const EXPORTERS = ['procflow', 'softflowd', 'pmacctd'] as const;
const MOST_OF = { softflowd: 1 / 4, pmacctd: 1 / 10 } as const;

interface Length {
  readonly rounds: number;
  readonly scenarios: readonly Scenario[];
}

const ROOM = { maxFlows: 1_500_000 } as const;
const LENGTHS = {
  full: {
    rounds: 5,
    scenarios: [
      { name: '256 flows', flows: 'few', packets: 1_500_000 },
      { name: '1,000,000 random flows', flows: 'random', packets: 2_250_000, ...ROOM },
    ],
  },
  short: {
    rounds: 1,
    scenarios: [{ name: '256 flows', flows: 'few', packets: 100_000 }],
  },
} as const satisfies Record<string, Length>;

type MeteredRun = TrafficRun & { readonly exporter: ExporterRun };

interface Runs {
  readonly scenario: Scenario;
  /** That the packets are of. */
  readonly flows: number;
  readonly nothing: readonly TrafficRun[];
  /** With an empty program in the place of procflow's. */
  readonly hooks: readonly TrafficRun[];
  readonly of: Readonly<Record<ExporterName, readonly MeteredRun[]>>;
}

export async function measureTraffic(_t: unknown, length: BenchLength): Promise<BenchSection> {
  const { rounds, scenarios } = LENGTHS[length];
  const all: Runs[] = [];
  for (const scenario of scenarios) all.push(await runRounds(scenario, rounds));
  return {
    title: 'On traffic',
    notes: [
      'trafgen sends frames of 60 octets from one CPU, as fast as it goes, over a veth pair. The exporter meters',
      'the sending end and exports NetFlow v9 to nfcapd on loopback of the same namespace. softflowd has a capture',
      'buffer of 64 MiB (pmacctd’s cannot be set), pmacctd 256 MiB for its plugin; where there are many flows, all',
      'three have room for 1,500,000. CPU is that of the whole machine with its interrupts, less what processes of',
      'others used, until the exporter has nothing left to do, above the run with nothing in the same round:',
      `median (least to most) of ${rounds} rounds. By threads: the same as the scheduler counts it for the`,
      'experiment’s own processes and ksoftirqd, which others disturb less.',
      `Packets metered are by the exporter’s own count. Processes of others used ${othersShare(all)} of a CPU.`,
    ],
    header: [
      '',
      'packets/s',
      'CPU above nothing, ns a packet',
      'by threads',
      'its processes',
      'packets metered',
      'packets in nfcapd',
      'flows in nfcapd',
    ],
    rows: all.flatMap((runs) => [
      [`${runs.scenario.name}, nothing`, rate(runs.nothing), '-', '-', '-', '-', '-', '-'],
      [
        `${runs.scenario.name}, an empty program`,
        rate(runs.hooks),
        medianAndSpread(aboveNothing(runs, 'hooks', 'machineCpuNs'), 0),
        medianAndSpread(aboveNothing(runs, 'hooks', 'ownCpuNs'), 0),
        ...['-', '-', '-', '-'],
      ],
      ...EXPORTERS.map((name) => row(runs, name)),
    ]),
    goals: all.flatMap((runs) => (runs.scenario.flows === 'few' ? costGoals(runs) : arrival(runs))),
    inexact: all.flatMap((runs) => runs.of.procflow.flatMap((run) => inexact(runs, run))),
  };
}

async function runRounds(scenario: Scenario, rounds: number): Promise<Runs> {
  const flows = await countFlows(scenario);
  const nothing: TrafficRun[] = [];
  const hooks: TrafficRun[] = [];
  const of: Record<ExporterName, MeteredRun[]> = { procflow: [], softflowd: [], pmacctd: [] };
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < SETTINGS.length; i++) {
      const setting = SETTINGS[(round + i) % SETTINGS.length] ?? 'nothing';
      const { exporter, ...run } = await runTraffic(scenario, setting);
      if (setting === 'nothing') nothing.push(run);
      else if (setting === 'hooks') hooks.push(run);
      else if (exporter !== undefined) of[setting].push({ ...run, exporter });
    }
  }
  return { scenario, flows, nothing, hooks, of };
}

function row(runs: Runs, name: ExporterName): readonly string[] {
  const of = runs.of[name];
  const sum = (value: (run: MeteredRun) => number): number =>
    of.reduce((total, run) => total + value(run), 0);
  const packets = sum((run) => run.packets);
  return [
    `${runs.scenario.name}, ${name}`,
    rate(of),
    medianAndSpread(aboveNothing(runs, name, 'machineCpuNs'), 0),
    medianAndSpread(aboveNothing(runs, name, 'ownCpuNs'), 0),
    medianAndSpread(
      of.map((run) => run.exporter.cpuNs / run.packets),
      0,
    ),
    percentage(
      sum((run) => run.exporter.metered.packets),
      packets,
    ),
    percentage(
      sum((run) => run.exporter.collected.packets),
      packets,
    ),
    percentage(
      sum((run) => run.exporter.collected.flows),
      runs.flows * of.length,
    ),
  ];
}

/** Nanoseconds a packet; the run with nothing in the same round is taken off. */
function aboveNothing(
  { nothing, hooks, of }: Runs,
  name: ExporterName | 'hooks',
  cpu: 'machineCpuNs' | 'ownCpuNs',
): readonly number[] {
  return (name === 'hooks' ? hooks : of[name]).map((run, round) => {
    const without = nothing[round];
    return without === undefined ? NaN : run[cpu] / run.packets - without[cpu] / without.packets;
  });
}

function rate(runs: readonly TrafficRun[]): string {
  return median(runs.map(({ packets, seconds }) => packets / seconds)).toFixed(0);
}

function costGoals(runs: Runs): readonly Goal[] {
  const ownNs = median(aboveNothing(runs, 'procflow', 'machineCpuNs'));
  return (['softflowd', 'pmacctd'] as const).map((name) => {
    const otherNs = median(aboveNothing(runs, name, 'machineCpuNs'));
    const most = MOST_OF[name];
    return {
      text: `${runs.scenario.name}: CPU above nothing at most ${most} of ${name}’s`,
      measured: `${(ownNs / otherNs).toFixed(2)} (${ownNs.toFixed(0)} of ${otherNs.toFixed(0)} ns)`,
      isMet: ownNs <= most * otherNs,
    };
  });
}

function arrival({ scenario, flows, of: { procflow: own } }: Runs): readonly Goal[] {
  const metered = own.map((run) => run.exporter.metered.packets / run.packets);
  const arrived = own.map((run) => run.exporter.collected.flows / flows);
  const goal = (what: string, parts: readonly number[]): Goal => ({
    text: `${scenario.name}: 100 % of ${what}`,
    measured: `${percentage(Math.min(...parts), 1)} in the worst round`,
    isMet: parts.every((part) => part === 1),
  });
  return [goal('packets metered', metered), goal('flows in nfcapd', arrived)];
}

function inexact({ scenario }: Runs, run: MeteredRun): readonly string[] {
  const { collected, metered } = run.exporter;
  if (metered.summary === undefined) return [];
  return unequalSums(scenario.name, run, metered.summary, collected);
}

function othersShare(all: readonly Runs[]): string {
  const runs = all.flatMap(({ nothing, hooks, of }) => [
    ...nothing,
    ...hooks,
    ...EXPORTERS.flatMap((e) => of[e]),
  ]);
  const seconds = runs.reduce((sum, run) => sum + run.measuredSeconds, 0);
  const used = runs.reduce((sum, run) => sum + run.othersCpuNs, 0) / 1e9;
  return `${((100 * used) / seconds).toFixed(0)} %`;
}

if (isMain(import.meta.url)) await printSection(measureTraffic);
