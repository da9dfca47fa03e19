// What applications feel of procflow: throughput, and many small connections, with procflow at both ends
// of the wire and without, by turns.
// Usage: node build/bench/applications/applications.js [--short]
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { startIn, type Place } from '../../test/support/generators.js';
import {
  bringUp,
  createNamespacePair,
  type NamespacePair,
} from '../../test/support/network-namespace.js';
import type { Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import type { BenchSection, Goal } from '../bench-section.js';
import { withCleanup } from '../support/cleanup.js';
import { median, medianAndSpread } from '../support/figures.js';
import { isMain, printSection, type BenchLength } from '../support/section-text.js';
import { startWireNfcapd } from '../support/wire-nfcapd.js';
import { EXPORTERS } from '../traffic/exporters.js';

const REQUESTS = join(PROJECT_ROOT, 'build/bench/generators/requests');
const IPERF_PORT = '5201';
const REQUEST_PORT = '7000';
const GIGA = 1e9;
const NS_PER_US = 1000;
const MOST_THREADS = 16;

const LENGTHS = {
  full: { rounds: 9, seconds: 1 },
  short: { rounds: 1, seconds: 0.3 },
} as const;

/** One thing that applications do, measured once. */
interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly digits: number;
  /** More is better; false: less is. */
  readonly isRate: boolean;
  /** Of what it is without procflow. */
  readonly least?: number;
}

const FIGURES = {
  tcp: { name: 'iperf3 TCP', unit: 'Gbit/s', digits: 1, isRate: true, least: 0.98 },
  udp: { name: 'iperf3 UDP, 1400 octets', unit: 'Gbit/s', digits: 2, isRate: true },
  rate: { name: 'small connections', unit: 'a second', digits: 0, isRate: true, least: 0.95 },
  median: { name: 'request, in the middle', unit: 'us', digits: 0, isRate: false },
  p99: { name: 'request, 99 of 100', unit: 'us', digits: 0, isRate: false },
} as const satisfies Readonly<Record<string, Figure>>;
type FigureName = keyof typeof FIGURES;
type Values = Readonly<Record<FigureName, number>>;

interface Wire {
  readonly t: Teardown;
  readonly pair: NamespacePair;
  readonly a: Required<Place>;
  readonly b: Required<Place>;
  readonly seconds: number;
}

export function measureApplications(t: Teardown, length: BenchLength): Promise<BenchSection> {
  const { rounds, seconds } = LENGTHS[length];
  return measureRounds(t, rounds, seconds);
}

async function measureRounds(t: Teardown, rounds: number, seconds: number): Promise<BenchSection> {
  const pair = createNamespacePair(t);
  bringUp(pair);
  const cgroup = createCgroup(t);
  const [a, b] = [
    { namespace: pair.a, cgroup },
    { namespace: pair.b, cgroup },
  ];
  const wire = { t, pair, a, b, seconds };
  await startServers(wire);
  const [without, metered]: [Values[], Values[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    // Which one is first changes: neither always has what the other left behind.
    if (round % 2 === 0) without.push(await measureOnce(wire));
    metered.push(await whileMetered(wire, () => measureOnce(wire)));
    if (round % 2 === 1) without.push(await measureOnce(wire));
  }
  return toSection(without, metered, seconds);
}

async function startServers({ t, b, pair }: Wire): Promise<void> {
  const listen = ['--address', pair.b.ipv4, '--port', REQUEST_PORT];
  const threads = ['--threads', String(threadCount())];
  await startIn(t, b, REQUESTS, '--serve', ...listen, ...threads).report('ready');
  const iperf = startIn(t, b, 'iperf3', '--server', '--forceflush', '--port', IPERF_PORT);
  await iperf.line('out', /Server listening/);
}

function threadCount(): number {
  return Math.min(2 * availableParallelism(), MOST_THREADS);
}

async function whileMetered<Result>(
  { a, b, pair }: Wire,
  body: () => Promise<Result>,
): Promise<Result> {
  return withCleanup(async (t) => {
    for (const place of [a, b]) {
      await startWireNfcapd(t, place);
      await EXPORTERS.procflow({ t, place, interfaceName: pair.a.interfaceName });
    }
    return body();
  });
}

async function measureOnce(wire: Wire): Promise<Values> {
  const tcp = await iperf(wire);
  const udp = await iperf(wire, '--udp', '--bitrate', '0', '--length', '1400');
  return { tcp, udp, ...(await request(wire)) };
}

/** Gigabits a second that arrived. */
async function iperf(wire: Wire, ...options: readonly string[]): Promise<number> {
  const { t, a, pair, seconds } = wire;
  const to = ['--client', pair.b.ipv4, '--port', IPERF_PORT, '--time', String(Math.ceil(seconds))];
  const client = startIn(t, a, 'iperf3', '--json', ...to, ...options);
  const { code } = await client.ended;
  if (code !== 0) throw new Error(`iperf3 failed: ${client.out.join('\n')}`);
  const { end } = JSON.parse(client.out.join('\n')) as {
    end: Record<'sum' | 'sum_received', { bits_per_second: number; lost_percent?: number }>;
  };
  const { bits_per_second, lost_percent = 0 } = options.includes('--udp')
    ? end.sum
    : end.sum_received;
  return (bits_per_second * (1 - lost_percent / 100)) / GIGA;
}

async function request({ t, a, pair, seconds }: Wire): Promise<Omit<Values, 'tcp' | 'udp'>> {
  const to = ['--address', pair.b.ipv4, '--port', REQUEST_PORT];
  const how = ['--threads', String(threadCount()), '--duration', String(seconds * 1000)];
  const client = startIn(t, a, REQUESTS, ...to, ...how);
  await client.success();
  const done = await client.report('done');
  return {
    rate: (Number(done.connections) * GIGA) / Number(done.ns),
    median: Number(done.median_ns) / NS_PER_US,
    p99: Number(done.p99_ns) / NS_PER_US,
  };
}

function toSection(
  without: readonly Values[],
  metered: readonly Values[],
  seconds: number,
): BenchSection {
  const names = Object.keys(FIGURES) as FigureName[];
  const of = (runs: readonly Values[], name: FigureName): readonly number[] =>
    runs.map((run) => run[name]);
  const ratios = (name: FigureName): readonly number[] =>
    of(metered, name).map((value, round) => value / (without[round]?.[name] ?? NaN));
  return {
    title: 'What applications feel',
    notes: [
      'iperf3 and a client with many small TCP connections (64 octets asked, 512 answered, a new connection each, ' +
        `${threadCount()} threads at each end) over a veth pair, with procflow on the interfaces of both ends and without, ` +
        `${seconds} s each; medians (least to most) of ${without.length} rounds, ratios within a round.`,
    ],
    header: ['', 'without', 'with procflow', 'with, of without'],
    rows: names.map((name) => {
      const { name: label, unit, digits }: Figure = FIGURES[name];
      return [
        `${label}, ${unit}`,
        medianAndSpread(of(without, name), digits),
        medianAndSpread(of(metered, name), digits),
        medianAndSpread(ratios(name), 3),
      ];
    }),
    goals: names.flatMap((name) => goal(FIGURES[name], median(ratios(name)))),
    inexact: [],
  };
}

function goal({ name, least }: Figure, ratio: number): readonly Goal[] {
  if (least === undefined) return [];
  const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;
  const text = `${name}: at least ${percent(least)} of without`;
  return [{ text, measured: percent(ratio), isMet: ratio >= least }];
}

if (isMain(import.meta.url)) await printSection(measureApplications);
