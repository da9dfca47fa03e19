// TUM's experiment with trafgen, repeated: how many packets get the right process, and at what cost.
import { availableParallelism } from 'node:os';
import { median, medianAndSpread, percentage, table, type Figures } from '../support/figures.js';
import { runRate, type Attribution, type RateRun, type Scenario } from './rate-run.js';

const PACED = 10_000; // packets a second, as in the experiment that is repeated
const PACED_SECONDS = 2;
const FULL_SPEED_PACKETS = 1_000_000;
const OCTETS_PER_MIB = 2 ** 20;

const SENT = { sender: 'trafgen', metered: 'sender', rate: PACED, cpus: 1 } as const;
const SCENARIOS: readonly Scenario[] = [
  { ...SENT, name: 'trafgen, 64 octets', frameOctets: 64 },
  { ...SENT, name: 'trafgen, 1500 octets', frameOctets: 1500 },
  { ...SENT, name: 'trafgen, 64, random ports', frameOctets: 64, hasRandomPorts: true },
  { ...SENT, name: 'sockets, 64 octets', frameOctets: 64, sender: 'sockets' },
  { ...SENT, name: 'sockets, 1500 octets', frameOctets: 1500, sender: 'sockets' },
  { ...SENT, name: 'received, 64 octets', frameOctets: 64, metered: 'receiver' },
  { ...SENT, name: 'received, 1500 octets', frameOctets: 1500, metered: 'receiver' },
  { ...SENT, name: 'trafgen, 64, full speed', frameOctets: 64, rate: 0 },
  { ...SENT, name: 'trafgen, 64, full speed, 2 CPUs', frameOctets: 64, rate: 0, cpus: 2 },
  { ...SENT, name: 'trafgen, 1500, full speed, 2 CPUs', frameOctets: 1500, rate: 0, cpus: 2 },
  {
    ...SENT,
    name: 'trafgen, 64, random ports, full speed',
    frameOctets: 64,
    rate: 0,
    hasRandomPorts: true,
  },
  {
    ...SENT,
    name: 'sockets, 64, full speed, 2 CPUs',
    frameOctets: 64,
    rate: 0,
    cpus: 2,
    sender: 'sockets',
  },
  { ...SENT, name: 'received, 64, full speed', frameOctets: 64, rate: 0, metered: 'receiver' },
];

interface Runs {
  readonly scenario: Scenario;
  readonly without: readonly RateRun[];
  readonly metered: readonly (RateRun & { readonly attribution: Attribution })[];
}

export async function repeatRateExperiment(rounds: number): Promise<Figures> {
  const all: Runs[] = [];
  for (const scenario of SCENARIOS) {
    if (scenario.cpus > availableParallelism()) continue;
    all.push(await runScenario(scenario, rounds));
  }
  return {
    text: `${attributionTable(all)}\n\n${resourceTable(all)}`,
    isGood: all.every((runs) => sum(runs, 'right') === wire(runs)),
  };
}

async function runScenario(scenario: Scenario, rounds: number): Promise<Runs> {
  const packets = scenario.rate > 0 ? scenario.rate * PACED_SECONDS : FULL_SPEED_PACKETS;
  const [without, metered]: [RateRun[], Runs['metered'][number][]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    without.push(await runRate(scenario, packets, false));
    const { attribution, ...run } = await runRate(scenario, packets, true);
    if (attribution !== undefined) metered.push({ ...run, attribution });
  }
  return { scenario, without, metered };
}

function wire({ metered }: Runs): number {
  return metered.reduce((total, { packets }) => total + packets, 0);
}

function sum({ metered }: Runs, what: 'right' | 'wrong'): number {
  return metered.reduce((total, { attribution }) => total + attribution[what], 0);
}

function attributionTable(all: readonly Runs[]): string {
  return table(
    ['', 'packets/s', 'Mbit/s', 'on the wire', 'right process', '', 'another process'],
    all.map((runs) => {
      const rate = median(runs.metered.map(({ packets, seconds }) => packets / seconds));
      return [
        runs.scenario.name,
        rate.toFixed(0),
        ((rate * runs.scenario.frameOctets * 8) / 1e6).toFixed(0),
        String(wire(runs)),
        String(sum(runs, 'right')),
        percentage(sum(runs, 'right'), wire(runs)),
        String(sum(runs, 'wrong')),
      ];
    }),
  );
}

function resourceTable(all: readonly Runs[]): string {
  return table(
    [
      '',
      'resident, MiB',
      'private, MiB',
      'BPF maps, MiB',
      'daemon, % of a CPU',
      'processes above none, ns a packet',
      'machine above none, ns a packet',
    ],
    all.map((runs) => {
      const used = runs.metered.map(({ attribution }) => attribution);
      const above = (cpuNs: (run: RateRun) => number): string =>
        medianAndSpread(perPacketAbove(runs, cpuNs), 0);
      const shares = runs.metered.map(
        ({ seconds, attribution }) => attribution.daemonCpuNs / seconds / 1e7,
      );
      return [
        runs.scenario.name,
        mebioctets(used.map(({ resident }) => resident.octets)),
        mebioctets(used.map(({ resident }) => resident.privateOctets)),
        mebioctets(used.map(({ mapOctets }) => mapOctets)),
        medianAndSpread(shares, 1),
        above((run) => run.trafficCpuNs + (run.attribution?.daemonCpuNs ?? 0)),
        above((run) => run.machineCpuNs),
      ];
    }),
  );
}

/** A run with procflow less the run without it right before. */
function perPacketAbove(runs: Runs, cpuNs: (run: RateRun) => number): readonly number[] {
  return runs.metered.map((run, round) => {
    const without = runs.without[round];
    return without === undefined
      ? NaN
      : cpuNs(run) / run.packets - cpuNs(without) / without.packets;
  });
}

function mebioctets(values: readonly number[]): string {
  return (Math.max(...values) / OCTETS_PER_MIB).toFixed(1);
}
