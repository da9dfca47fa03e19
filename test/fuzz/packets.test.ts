// Hostile frames into the real packet programs: whatever comes, it passes, and what is counted is what the
// records say.
import t from 'tap';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import {
  openNetworkNamespace,
  type NetworkNamespace,
} from '../../src/bpf-loader/network-namespace.js';
import type { LoadOptions } from '../../src/bpf-loader/bpf-object.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { MeterCounters } from '../../src/flow/flow-source.js';
import { createNamespacePair } from '../support/network-namespace.js';
import {
  cannotLoadPrograms,
  openPacketLab,
  type PacketLab,
  type PacketProgram,
  type PacketRun,
  type PreparedRun,
} from '../support/packet-lab.js';
import { frameChanges, frameCorpus, isTakenByKernel, MAX_FRAME_OCTETS } from './frames.js';
import { fuzz } from './fuzz-rounds.js';
import { mutate, type Mutable } from './mutate.js';
import type { Random } from './random.js';

const skip = cannotLoadPrograms();
const FRAMES = 2000;
const LOOPBACK = 1;
const VETH = 2;
const ETHERNET_OCTETS = 14;
/** TC_ACT_UNSPEC */
const GO_ON = 2 ** 32 - 1;
const PASS = 1;
/** No segment is longer. */
const MAX_SEGMENT_OCTETS = 65_535;
const HASH_SEED = Buffer.alloc(16, 5);
const MAX_PASSES = 8;

const FRAME_PROGRAMS = ['flow_ingress', 'flow_egress'] as const;
const IP_PROGRAMS = ['flow_ingress_ip', 'flow_egress_ip'] as const;
const SOCKET_PROGRAMS = ['socket_ingress', 'socket_egress'] as const;

interface Setting {
  readonly name: string;
  readonly maxFlows: number;
  readonly programs: readonly PacketProgram[];
  readonly load: Partial<LoadOptions>;
  /** Copies of packets are passed over at sockets, and not counted. */
  readonly countsAll: boolean;
}

const SETTINGS: readonly Setting[] = [
  {
    name: 'as usual',
    maxFlows: 16_384,
    programs: [...FRAME_PROGRAMS, ...FRAME_PROGRAMS, ...IP_PROGRAMS],
    load: {},
    countsAll: true,
  },
  {
    name: 'a full cache',
    maxFlows: 64,
    programs: FRAME_PROGRAMS,
    load: { trackLevel: 'ether', trackProcess: true },
    countsAll: true,
  },
  {
    name: 'sampled',
    maxFlows: 16_384,
    programs: FRAME_PROGRAMS,
    load: { trackLevel: 'vlan', sampling: { kind: 'random', interval: 3 } },
    countsAll: true,
  },
  {
    name: 'at sockets',
    maxFlows: 16_384,
    programs: SOCKET_PROGRAMS,
    load: { capture: 'sockets' },
    countsAll: false,
  },
];

interface Sums {
  packets: number;
  octets: number;
}

/** Takes all flows; what their records must be, whatever the packets were. */
async function sumRecords(lab: PacketLab, hasSegments: boolean): Promise<Sums> {
  const sums = { packets: 0, octets: 0 };
  const record = new FlowRecord();
  const { min_length, max_length } = FLOW_RECORD.fields;
  for (let pass = 0; pass === 0 || lab.cache.flowCount() > 0; pass++) {
    if (pass === MAX_PASSES) throw new Error(`${lab.cache.flowCount()} flows stay`);
    for await (const { bytes, count } of lab.cache.sweep('all')) {
      for (let i = 0; i < count; i++) {
        const { packets, octets, offset } = record.at(bytes, i * FLOW_RECORD.size);
        const least = bytes.readUInt16LE(offset + min_length.offset);
        const most = bytes.readUInt16LE(offset + max_length.offset);
        const isOdd = !hasSegments && (least * packets > octets || most * packets < octets);
        if (packets === 0 || octets > packets * MAX_SEGMENT_OCTETS || isOdd) {
          const hex = bytes.toString('hex', offset, offset + FLOW_RECORD.size);
          throw new Error(`${packets} packets of ${least} to ${most} are ${octets} octets: ${hex}`);
        }
        sums.packets += packets;
        sums.octets += octets;
      }
    }
  }
  return sums;
}

function difference(after: MeterCounters, before: MeterCounters): MeterCounters {
  const entries = Object.entries(after) as [keyof MeterCounters, number][];
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value - before[name]]),
  ) as MeterCounters;
}

function expectEqual(found: unknown, expected: unknown, what: string): void {
  if (found !== expected) throw new Error(`${what}: ${String(found)}, not ${String(expected)}`);
}

/** An offloaded packet, as a guest may describe it. */
function segmentsOf(random: Random, octets: number): Omit<PacketRun, 'program' | 'bytes'> {
  const gsoSize = random.oneIn(2) ? random.between(1, octets) : random.between(1, 65_535);
  const gsoSegs = random.oneIn(3) ? random.below(65_536) : random.below(8);
  const wireLength = random.oneIn(2) ? 0 : random.between(octets, octets + random.below(60_000));
  return { gsoSize, gsoSegs, wireLength };
}

class PacketFuzz {
  readonly #setting: Setting;
  readonly #namespace: NetworkNamespace;
  readonly #lab: PacketLab;
  readonly #changes = frameChanges(frameCorpus());
  readonly #frame: Mutable = { bytes: Buffer.alloc(MAX_FRAME_OCTETS + 64), length: 0 };
  readonly #programs: readonly { readonly name: PacketProgram; readonly run: PreparedRun }[];

  constructor(setting: Setting, namespace: NetworkNamespace, lab: PacketLab) {
    this.#setting = setting;
    this.#namespace = namespace;
    this.#lab = lab;
    this.#programs = setting.programs.map((name) => ({
      name,
      run: lab.prepare(name, this.#frame.bytes),
    }));
  }

  async round(random: Random): Promise<number> {
    const lab = this.#lab;
    const before = lab.counters();
    const hasSegments = random.oneIn(3);
    const runs = this.#namespace.run(() => this.#run(random, hasSegments));
    const counted = difference(lab.counters(), before);
    const sums = await sumRecords(lab, hasSegments);
    expectEqual(sums.packets, counted.METERED_PACKETS - counted.LOST_PACKETS, 'packets');
    expectEqual(sums.octets, counted.METERED_OCTETS - counted.LOST_OCTETS, 'octets');
    const seen =
      counted.METERED_PACKETS +
      counted.NOT_SAMPLED_PACKETS +
      counted.NON_IP_FRAMES +
      counted.MALFORMED_PACKETS;
    if (this.#setting.countsAll && !hasSegments) expectEqual(seen, runs, 'all frames');
    expectEqual(lab.elements('far_owners'), 0, 'far owners that stay');
    return FRAMES;
  }

  /** @returns how often a program ran */
  #run(random: Random, hasSegments: boolean): number {
    const frame = this.#frame;
    let runs = 0;
    for (let i = 0; i < FRAMES; i++) {
      mutate(frame, random, this.#changes);
      const { name, run } = random.pick(this.#programs);
      if (name.endsWith('_ip')) this.#dropEthernet();
      if (!isTakenByKernel(frame)) continue;
      const repeat = random.oneIn(3) ? random.between(2, 20) : 1;
      const returned = run(frame.length, {
        interfaceIndex: random.oneIn(4) ? LOOPBACK : VETH,
        repeat,
        ...(hasSegments && random.oneIn(2) && segmentsOf(random, frame.length)),
      });
      runs += repeat;
      const expected = this.#setting.programs === SOCKET_PROGRAMS ? PASS : GO_ON;
      if (returned !== expected) {
        const hex = frame.bytes.toString('hex', 0, frame.length);
        throw new Error(`${name} returned ${returned} for ${hex}`);
      }
    }
    return runs;
  }

  /** The kernel asks for as many octets all the same. */
  #dropEthernet(): void {
    const { bytes, length } = this.#frame;
    bytes.copyWithin(0, ETHERNET_OCTETS, length);
    this.#frame.length = Math.max(length - ETHERNET_OCTETS, ETHERNET_OCTETS + 1);
  }
}

for (const setting of SETTINGS) {
  t.test(`any frames, ${setting.name}: they pass, and nothing is lost`, { skip }, async (t) => {
    const namespace = openNetworkNamespace(createNamespacePair(t).a.path, loadLibc());
    t.teardown(() => namespace.close());
    const lab = openPacketLab(setting.maxFlows, {}, { hashSeed: HASH_SEED, ...setting.load });
    t.teardown(lab.close);
    const packets = new PacketFuzz(setting, namespace, lab);
    await fuzz(t, `packets ${setting.name}`, {
      share: 0.06,
      cases: 'frames',
      leastShare: 1 / SETTINGS.length,
      round: (random) => packets.round(random),
    });
  });
}
