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
import { cgroupCpuNs, softInterruptThreadsCpuNs } from '../support/resources.js';
import { isMain, printSection, type BenchLength } from '../support/section-text.js';
import { startWireNfcapd } from '../support/wire-nfcapd.js';
import { startEmptyHooks, startProcflow } from '../traffic/exporters.js';

const REQUESTS = join(PROJECT_ROOT, 'build/bench/generators/requests');
const IPERF_PORT = '5201';
const REQUEST_PORT = '7000';
const GIGA = 1e9;
const NS_PER_US = 1000;
const NS_PER_MS = 1e6;
const MOST_THREADS = 16;

const LENGTHS = {
  full: { rounds: 5, seconds: 1 },
  short: { rounds: 1, seconds: 0.3 },
} as const;

/** One thing that applications do, measured once. */
interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly digits: number;
  /** Of what it is without procflow. */
  readonly least?: number;
}

const FIGURES = {
  tcp: { name: 'iperf3 TCP', unit: 'Gbit/s', digits: 1, least: 0.98 },
  tcpCpu: { name: 'iperf3 TCP, CPU', unit: 'ms a Gbit', digits: 1 },
  udp: { name: 'iperf3 UDP, 1400 octets', unit: 'Gbit/s', digits: 2 },
  rate: { name: 'connections one after the other', unit: 'a second', digits: 0, least: 0.95 },
  median: { name: 'of these, one in the middle', unit: 'us', digits: 0 },
  p99: { name: 'of these, 99 of 100', unit: 'us', digits: 0 },
  busyRate: { name: 'connections, CPUs busy', unit: 'a second', digits: 0, least: 0.95 },
  busyCpu: { name: 'connections, CPUs busy, CPU', unit: 'us each', digits: 1 },
} as const satisfies Readonly<Record<string, Figure>>;
type FigureName = keyof typeof FIGURES;
type Values = Readonly<Record<FigureName, number>>;

/** What there is beside the applications. */
const SETTINGS = ['without', 'hooks', 'interfaces', 'socketHooks', 'sockets'] as const;
type Setting = (typeof SETTINGS)[number];
type Rounds = Readonly<Record<Setting, readonly Values[]>>;

interface Wire {
  readonly t: Teardown;
  readonly pair: NamespacePair;
  readonly a: Required<Place>;
  readonly b: Required<Place>;
  /** That both are in. */
  readonly cgroup: string;
  readonly seconds: number;
}

export function measureApplications(t: Teardown, length: BenchLength): Promise<BenchSection> {
  const { rounds, seconds } = LENGTHS[length];
  return measureRounds(t, rounds, seconds);
}

async function measureRounds(t: Teardown, rounds: number, seconds: number): Promise<BenchSection> {
  const pair = createNamespacePair(t);
  bringUp(pair);
  // Two hosts: what one procflow watches is nothing to the other.
  const cgroup = createCgroup(t);
  const a = { namespace: pair.a, cgroup: createCgroup(t, cgroup) };
  const b = { namespace: pair.b, cgroup: createCgroup(t, cgroup) };
  const wire = { t, pair, a, b, cgroup, seconds };
  await startServers(wire);
  const measured: Record<Setting, Values[]> = {
    without: [],
    hooks: [],
    interfaces: [],
    socketHooks: [],
    sockets: [],
  };
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < SETTINGS.length; i++) {
      // Which one is first changes: none always has what another left behind.
      const setting = SETTINGS[(round + i) % SETTINGS.length] ?? 'without';
      measured[setting].push(await measureWith(setting, wire));
    }
  }
  return toSection(measured, seconds);
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

function measureWith(setting: Setting, wire: Wire): Promise<Values> {
  const { a, b, pair, cgroup } = wire;
  return withCleanup(async (t) => {
    if (setting === 'hooks') {
      for (const place of [a, b]) await startEmptyHooks(t, place, pair.a.interfaceName);
    }
    if (setting === 'socketHooks') await startEmptyHooks(t, { ...a, cgroup });
    if (setting === 'interfaces') {
      for (const place of [a, b]) {
        await startWireNfcapd(t, place);
        await startProcflow(t, place, ['-i', pair.a.interfaceName]);
      }
    }
    if (setting === 'sockets') {
      await startWireNfcapd(t, a);
      await startProcflow(t, { ...a, cgroup }, ['--capture', 'sockets']);
    }
    // A daemon that has just started still compiles itself.
    await request(wire, threadCount());
    return measureOnce(wire);
  });
}

async function measureOnce(wire: Wire): Promise<Values> {
  const cpuNs = (): number => cgroupCpuNs(wire.cgroup) + softInterruptThreadsCpuNs();
  const before = cpuNs();
  const { gigabits: tcpGigabits, seconds: tcpSeconds } = await iperf(wire);
  const tcpCpuNs = cpuNs() - before;
  const { gigabits, seconds } = await iperf(wire, '--udp', '--bitrate', '0', '--length', '1400');
  const one = await request(wire, 1);
  const beforeBusy = cpuNs();
  const busy = await request(wire, threadCount());
  return {
    tcp: tcpGigabits / tcpSeconds,
    tcpCpu: tcpCpuNs / NS_PER_MS / tcpGigabits,
    udp: gigabits / seconds,
    rate: one.rate,
    median: one.medianUs,
    p99: one.p99Us,
    busyRate: busy.rate,
    busyCpu: (cpuNs() - beforeBusy) / NS_PER_US / busy.connections,
  };
}

/** What arrived, and in what time. */
async function iperf(
  wire: Wire,
  ...options: readonly string[]
): Promise<{ readonly gigabits: number; readonly seconds: number }> {
  const { t, a, pair, seconds } = wire;
  const to = ['--client', pair.b.ipv4, '--port', IPERF_PORT, '--time', String(Math.ceil(seconds))];
  const client = startIn(t, a, 'iperf3', '--json', ...to, ...options);
  const { code } = await client.ended;
  if (code !== 0) throw new Error(`iperf3 failed: ${client.out.join('\n')}`);
  const { end } = JSON.parse(client.out.join('\n')) as {
    end: Record<'sum' | 'sum_received', { bytes: number; seconds: number; lost_percent?: number }>;
  };
  const sum = options.includes('--udp') ? end.sum : end.sum_received;
  const gigabits = (sum.bytes * 8 * (1 - (sum.lost_percent ?? 0) / 100)) / GIGA;
  return { gigabits, seconds: sum.seconds };
}

interface Requests {
  readonly connections: number;
  /** A second. */
  readonly rate: number;
  readonly medianUs: number;
  readonly p99Us: number;
}

async function request({ t, a, pair, seconds }: Wire, threads: number): Promise<Requests> {
  const to = ['--address', pair.b.ipv4, '--port', REQUEST_PORT];
  const how = ['--threads', String(threads), '--duration', String(seconds * 1000)];
  const client = startIn(t, a, REQUESTS, ...to, ...how);
  await client.success();
  const done = await client.report('done');
  return {
    connections: Number(done.connections),
    rate: (Number(done.connections) * GIGA) / Number(done.ns),
    medianUs: Number(done.median_ns) / NS_PER_US,
    p99Us: Number(done.p99_ns) / NS_PER_US,
  };
}

function toSection(measured: Rounds, seconds: number): BenchSection {
  const names = Object.keys(FIGURES) as FigureName[];
  const of = (setting: Setting, name: FigureName): readonly number[] =>
    measured[setting].map((values) => values[name]);
  const ratios = (setting: Setting, name: FigureName): readonly number[] =>
    measured[setting].map((values, i) => values[name] / (measured.without[i]?.[name] ?? NaN));
  return {
    title: 'What applications feel',
    notes: [
      'iperf3, and a client with many small TCP connections (64 octets asked, 512 answered, a new connection each),',
      `one after the other and ${threadCount()} at a time, over a veth pair: without procflow, with one on the interface of`,
      `each end, and with one at the sockets of both. ${seconds} s each; median (least to most) of ${measured.without.length} rounds,`,
      'ratios within a round. Empty programs at all of procflow’s hooks, and nothing exported, are what the',
      'kernel’s way to the hooks costs: also ratios of without. CPU is that of their processes, of procflow and nfcapd, and of ksoftirqd.',
    ],
    header: [
      ...['', 'without', 'at both interfaces', 'of without', 'empty programs there', 'at sockets'],
      ...['of without', 'empty programs there'],
    ],
    rows: names.map((name) => {
      const { name: label, unit, digits }: Figure = FIGURES[name];
      return [
        `${label}, ${unit}`,
        medianAndSpread(of('without', name), digits),
        medianAndSpread(of('interfaces', name), digits),
        medianAndSpread(ratios('interfaces', name), 3),
        medianAndSpread(ratios('hooks', name), 3),
        medianAndSpread(of('sockets', name), digits),
        medianAndSpread(ratios('sockets', name), 3),
        medianAndSpread(ratios('socketHooks', name), 3),
      ];
    }),
    goals: names.flatMap((name) => goal(FIGURES[name], median(ratios('interfaces', name)))),
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
