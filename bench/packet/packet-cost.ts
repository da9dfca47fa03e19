// What procflow adds to a packet in the kernel, over an empty program at the same hook: by the kind of
// packet, whether its socket is known, and how many flows are in the cache. Alone: packet-cost.js
// [--short]
import { BpfObject, type CaptureMode } from '../../src/bpf-loader/bpf-object.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { openNetworkNamespace } from '../../src/bpf-loader/network-namespace.js';
import { createNamespacePair, bringUp } from '../../test/support/network-namespace.js';
import { ethernet, ipv4, ipv6, tcp, udp } from '../../test/support/packet-bytes.js';
import type { Teardown } from '../../test/support/program.js';
import type { BenchSection, Goal } from '../bench-section.js';
import { loadEmptyTwin } from '../empty-twin/empty-twin.js';
import { median, medianAndSpread } from '../support/figures.js';
import { isMain, printSection, type BenchLength } from '../support/section-text.js';
import { giveOwner, openReceivers } from './receiving-socket.js';
import { openMapFloor } from './map-floor.js';
import {
  openSeriesRunner,
  type Series,
  type SeriesRunner,
  type SeriesTimes,
} from './packet-series.js';

const VETH = 2; // the first interface of a namespace after lo
const UDP = 17;
const TCP = 6;
const ACK = 0x10;
const RECEIVER_PORT = 5300;
const CLOSED_PORT = 5301;
const LOCAL_V4 = '10.99.0.1'; // side a of the pair
const LOCAL_V6 = 'fd99::1';
const MOST_FLOWS = 1_000_000;
const PACKETS_OF_FEW = 200_000;
const NEW_PACKETS = 10_000;
const ROOM = MOST_FLOWS + 500_000;
const FIRST_NEW_FLOW = 1 << 21; // above those that are in the cache

interface Kind {
  readonly name: string;
  readonly version: 4 | 6;
  readonly program: string;
  readonly capture: CaptureMode;
  readonly frame: Buffer;
  readonly addressAt: number;
  readonly hasOwner: boolean;
  readonly flows: readonly number[];
}

const FEW = [1, 10, 1000, 100_000] as const;
const ALL = [...FEW, MOST_FLOWS] as const;

function frames(protocol: 'udp' | 'tcp', port: number): Record<4 | 6, Buffer> {
  const payload = protocol === 'udp' ? udp(18, [1000, port]) : tcp(ACK, 18, [1000, port]);
  const number = protocol === 'udp' ? UDP : TCP;
  const v4 = ethernet('ipv4', ipv4({ protocol: number }, payload));
  const v6 = ethernet('ipv6', ipv6({ nextHeader: number }, payload));
  // To the namespace's own addresses, where the receiving socket is.
  Buffer.from([10, 99, 0, 1]).copy(v4, 30);
  Buffer.from('fd990000000000000000000000000001', 'hex').copy(v6, 38);
  return { 4: v4, 6: v6 };
}

const ADDRESS_AT = { 4: 26, 6: 34 } as const;

function kindsOf(version: 4 | 6): readonly Kind[] {
  const base = { version, addressAt: ADDRESS_AT[version], capture: 'interface' } as const;
  const ip = `IPv${version}`;
  const known = frames('udp', RECEIVER_PORT)[version];
  return [
    {
      ...base,
      name: `${ip} UDP in, to a process`,
      program: 'flow_ingress',
      frame: known,
      hasOwner: true,
      flows: ALL,
    },
    {
      ...base,
      name: `${ip} UDP in, to a closed port`,
      program: 'flow_ingress',
      frame: frames('udp', CLOSED_PORT)[version],
      hasOwner: false,
      flows: [1000],
    },
    {
      ...base,
      name: `${ip} UDP out, of a process`,
      program: 'flow_egress',
      frame: known,
      hasOwner: true,
      flows: ALL,
    },
    {
      ...base,
      name: `${ip} UDP out, of the kernel`,
      program: 'flow_egress',
      frame: known,
      hasOwner: false,
      flows: [1000],
    },
    {
      ...base,
      name: `${ip} TCP out, of a process`,
      program: 'flow_egress',
      frame: frames('tcp', CLOSED_PORT)[version],
      hasOwner: true,
      flows: [1000],
    },
  ];
}

interface Measured {
  readonly kind: Kind;
  readonly flows: number;
  readonly isNew: boolean;
  readonly times: SeriesTimes;
}

/** What procflow added, round by round. */
function added({ times }: Measured): readonly number[] {
  return times.real.map((ns, round) => ns - (times.empty[round] ?? NaN));
}

export function measurePacketCost(t: Teardown, length: BenchLength): Promise<BenchSection> {
  const pair = createNamespacePair(t);
  bringUp(pair);
  const namespace = openNetworkNamespace(pair.a.path, loadLibc());
  t.teardown(() => namespace.close());
  const measured = namespace.run(() => {
    const receivers = openReceivers(t, [LOCAL_V4, LOCAL_V6], RECEIVER_PORT);
    const kinds = [...kindsOf(4), ...kindsOf(6)];
    return [
      ...kinds.flatMap((kind) => measureKind(kind, receivers, length)),
      ...measureFloor(length),
    ];
  });
  return Promise.resolve(sectionOf(measured));
}

function measureKind(
  kind: Kind,
  receivers: readonly number[],
  length: BenchLength,
): readonly Measured[] {
  const flows = length === 'short' ? kind.flows.filter((count) => count <= 1000) : kind.flows;
  const established = flows.map((count) => measureFlows(kind, receivers, count, false, length));
  const first = kind.hasOwner ? [1000, MOST_FLOWS].filter((count) => flows.includes(count)) : [];
  return [
    ...established,
    ...first.map((count) => measureFlows(kind, receivers, count, true, length)),
  ];
}

/** Everything loaded anew: an empty cache, and no other kind's owners. */
function withPrograms<Result>(capture: CaptureMode, body: (lab: Lab) => Result): Result {
  const released: (() => void)[] = [];
  const t: Teardown = {
    teardown: (release) => {
      released.push(() => void release());
    },
  };
  try {
    const real = BpfObject.load({ maxEntries: { flows_v4: ROOM, flows_v6: ROOM }, capture });
    t.teardown(() => real.close());
    const twin = loadEmptyTwin(real.unavailable);
    t.teardown(() => twin.close());
    return body({ t, real, runner: openSeriesRunner(t, real, twin) });
  } finally {
    for (let release = released.pop(); release !== undefined; release = released.pop()) release();
  }
}

interface Lab {
  readonly t: Teardown;
  readonly real: BpfObject;
  readonly runner: SeriesRunner;
}

function roundsOf(flows: number, length: BenchLength): number {
  if (length === 'short') return 5;
  return flows < MOST_FLOWS ? 25 : 7;
}

/** A series over so many flows, which are in the cache after its first pass. */
function seriesOf(
  kind: Pick<Kind, 'program' | 'frame' | 'addressAt' | 'hasOwner'>,
  flows: number,
  length: BenchLength,
): Series {
  const packets = Math.max(flows, length === 'short' ? 20_000 : PACKETS_OF_FEW);
  const rounds = roundsOf(flows, length);
  return { ...kind, interfaceIndex: VETH, flows, packets, rounds, isNew: false };
}

/** The same, of flows that are not in the cache yet, each pass of other ones. */
function newSeries(series: Series): Series {
  const passes = { flows: NEW_PACKETS, packets: NEW_PACKETS, rounds: 21 };
  return { ...series, ...passes, isNew: true, firstFlow: FIRST_NEW_FLOW };
}

function measureFlows(
  kind: Kind,
  receivers: readonly number[],
  flows: number,
  isNew: boolean,
  length: BenchLength,
): Measured {
  return withPrograms(kind.capture, ({ real, runner }) => {
    for (const fd of receivers) giveOwner(real, fd);
    const series = seriesOf(kind, flows, length);
    if (!isNew) return { kind, flows, isNew, times: runner.run(series) };
    runner.run({ ...series, packets: flows, rounds: 1 });
    return { kind, flows, isNew, times: runner.run(newSeries(series)) };
  });
}

/** What the kernel's map alone costs: a lookup with one addition, an insertion. */
function measureFloor(length: BenchLength): readonly Measured[] {
  const frame = frames('udp', CLOSED_PORT)[4];
  const base = { version: 4, capture: 'interface', program: 'flow_ingress', frame } as const;
  const kind = { ...base, addressAt: ADDRESS_AT[4], hasOwner: false, flows: [] };
  const counts = length === 'short' ? [1000] : [1000, 100_000, MOST_FLOWS];
  return counts.flatMap((flows) =>
    withPrograms('interface', ({ t, real, runner }) => {
      const floor = openMapFloor(t, real);
      const lookups = { ...seriesOf(kind, flows, length), instead: floor.lookup };
      const found = runner.run(lookups);
      const inserted = runner.run({ ...newSeries(lookups), instead: floor.insertion });
      return [
        { kind: { ...kind, name: 'floor: a lookup' }, flows, isNew: false, times: found },
        { kind: { ...kind, name: 'floor: an insertion' }, flows, isNew: true, times: inserted },
      ];
    }),
  );
}

function sectionOf(measured: readonly Measured[]): BenchSection {
  return {
    title: 'Per packet, in the kernel',
    notes: [
      'Nanoseconds a packet under BPF_PROG_TEST_RUN: many different packets, each of its own flow, in',
      'passes that go to an empty program and to procflow’s in turn. "Added" is the difference of two',
      'passes that followed each other. The first packet of a flow comes when the cache has that many. The',
      'floor is the kernel’s map alone: nothing is parsed, and no process is looked for.',
    ],
    header: ['packet', 'flows', 'empty program', 'procflow', 'added'],
    rows: measured.map((row) => [
      `${row.kind.name}${row.isNew ? ', first of a flow' : ''}`,
      row.flows.toLocaleString('en'),
      medianAndSpread(row.times.empty, 0),
      medianAndSpread(row.times.real, 0),
      medianAndSpread(added(row), 0),
    ]),
    goals: goalsOf(measured),
    inexact: [],
  };
}

function goalsOf(measured: readonly Measured[]): readonly Goal[] {
  const limits = [
    { version: 4, limit: 40 },
    { version: 6, limit: 50 },
  ] as const;
  return limits.flatMap(({ version, limit }) => {
    const of = (flows: number, isNew = false): readonly Measured[] =>
      measured.filter(
        (row) =>
          row.kind.version === version &&
          row.kind.hasOwner &&
          row.flows === flows &&
          row.isNew === isNew,
      );
    const worst = (rows: readonly Measured[]): number =>
      Math.max(...rows.map((row) => median(added(row))));
    const goals: Goal[] = [];
    const established = worst([...of(1), ...of(10), ...of(1000)]);
    goals.push({
      text: `IPv${version}, established flow, process known: at most ${limit} ns above the empty program`,
      measured: `${established.toFixed(0)} ns`,
      isMet: established <= limit,
    });
    for (const row of of(100_000)) {
      const few = of(10).find(({ kind }) => kind === row.kind);
      if (few === undefined) continue;
      const ratio = median(row.times.real) / median(few.times.real);
      goals.push({
        text: `${row.kind.name}, 100,000 flows: at most 1.5 times the cost with 10`,
        measured: `${ratio.toFixed(1)} times`,
        isMet: ratio <= 1.5,
      });
    }
    const first = of(MOST_FLOWS, true);
    if (first.length > 0) {
      goals.push({
        text: `IPv${version}, first packet of a flow, 1,000,000 in the cache: at most 600 ns`,
        measured: `${worst(first).toFixed(0)} ns`,
        isMet: worst(first) <= 600,
      });
    }
    return goals;
  });
}

if (isMain(import.meta.url)) await printSection(measurePacketCost);
