// Sampling, in the real kernel: which packets are metered, and that the others are counted.
import t from 'tap';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { openNetworkNamespace } from '../../src/bpf-loader/network-namespace.js';
import type { FlowRecord } from '../../src/flow/flow-record.js';
import type { Sampling } from '../../src/flow/sampling.js';
import {
  ethernet,
  fragmentHeader,
  hex,
  icmp,
  ipv4,
  ipv6,
  tcp,
  udp,
} from '../support/packet-bytes.js';
import { createNamespacePair } from '../support/network-namespace.js';
import { cannotLoadPrograms, openPacketLab, type PacketLab } from '../support/packet-lab.js';
import { ENDED, field } from '../support/record-fields.js';

const skip = cannotLoadPrograms();
const UDP = 17;
const UNKNOWN_PROTOCOL = 253; // RFC 3692: for experiments
const FIN_PSH_ACK = 0x19;
const ACK = 0x10;

function open(
  t: { teardown: (release: () => void) => void },
  sampling: Sampling,
  capture: 'interface' | 'sockets' = 'interface',
): PacketLab {
  const lab = openPacketLab(8192, {}, { sampling, capture, watchedCgroup: 0n });
  t.teardown(lab.close);
  return lab;
}

const udpFrom = (port: number): Buffer =>
  ethernet('ipv4', ipv4({ protocol: UDP }, udp(4, [port, 53])));

function sum(records: readonly FlowRecord[]): { packets: number; octets: number } {
  return {
    packets: records.reduce((total, record) => total + record.packets, 0),
    octets: records.reduce((total, record) => total + record.octets, 0),
  };
}

/** What the counters say of packets that were metered, and of all. */
function counted(lab: PacketLab): Record<'metered' | 'all', { packets: number; octets: number }> {
  const { METERED_PACKETS, METERED_OCTETS, NOT_SAMPLED_PACKETS, NOT_SAMPLED_OCTETS } =
    lab.counters();
  return {
    metered: { packets: METERED_PACKETS, octets: METERED_OCTETS },
    all: {
      packets: METERED_PACKETS + NOT_SAMPLED_PACKETS,
      octets: METERED_OCTETS + NOT_SAMPLED_OCTETS,
    },
  };
}

t.test('by count, exactly every tenth packet is metered', { skip }, async (t) => {
  const lab = open(t, { kind: 'count', interval: 10 });
  for (let port = 1; port <= 100; port++) {
    // One count for all places where packets are seen.
    lab.run({ bytes: udpFrom(port), program: port % 3 === 0 ? 'flow_egress' : 'flow_ingress' });
  }
  const records = await lab.sweep('all');
  const ports = records.map((record) => record.sourcePort).sort((a, b) => a - b);
  t.same(ports, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
  t.same(sum(records), { packets: 10, octets: 320 });
  t.same(counted(lab), {
    metered: { packets: 10, octets: 320 },
    all: { packets: 100, octets: 3200 },
  });
});

// Segments of 1040, 1040 and 540 octets; the last one has FIN and PSH.
const THREE_SEGMENTS = {
  bytes: ethernet('ipv4', ipv4({ protocol: 6 }, tcp(FIN_PSH_ACK, 2500))),
  gsoSegs: 3,
  gsoSize: 1000,
} as const;

interface SegmentCase {
  readonly name: string;
  readonly interval: number;
  /** So many times the packet with its three segments. */
  readonly repeat: number;
  readonly expected: Readonly<Record<string, number>>;
}

const SEGMENT_CASES: readonly SegmentCase[] = [
  {
    name: 'one in the middle',
    interval: 2,
    repeat: 1,
    expected: { packets: 1, octets: 1040, min: 1040, max: 1040, flags: ACK, ended: 0 },
  },
  {
    name: 'the last one',
    interval: 3,
    repeat: 1,
    expected: { packets: 1, octets: 540, min: 540, max: 540, flags: FIN_PSH_ACK, ended: ENDED },
  },
  {
    name: 'the first of the second packet',
    interval: 4,
    repeat: 2,
    expected: { packets: 1, octets: 1040, min: 1040, max: 1040, flags: ACK, ended: 0 },
  },
  {
    name: 'the second, the fourth and the sixth, which is a last one',
    interval: 2,
    repeat: 2,
    expected: { packets: 3, octets: 2620, min: 540, max: 1040, flags: FIN_PSH_ACK, ended: ENDED },
  },
];

for (const { name, interval, repeat, expected } of SEGMENT_CASES) {
  t.test(`of an offloaded packet's segments: ${name}`, { skip }, async (t) => {
    const lab = open(t, { kind: 'count', interval });
    lab.run({ ...THREE_SEGMENTS, repeat });
    const [record] = await lab.sweep('all');
    t.same(
      record && {
        packets: record.packets,
        octets: record.octets,
        min: field(record, 'min_length'),
        max: field(record, 'max_length'),
        flags: record.tcpFlags,
        ended: record.flags & ENDED,
      },
      expected,
    );
    t.same(counted(lab).all, { packets: 3 * repeat, octets: 2620 * repeat });
  });
}

t.test('an offloaded packet with too many segments for its data', { skip }, async (t) => {
  const lab = open(t, { kind: 'count', interval: 2 });
  // 140 octets of IP that claim ten segments of 1000: 10 * 40 + 100 octets together.
  const bytes = ethernet('ipv4', ipv4({ protocol: 6 }, tcp(ACK, 100)));
  lab.run({ bytes, gsoSegs: 10, gsoSize: 1000 });
  t.same(counted(lab), {
    metered: { packets: 5, octets: 250 },
    all: { packets: 10, octets: 500 },
  });
});

/** Five standard deviations: one run in two million is outside. */
function isLikely(hits: number, draws: number, interval: number, together = 1): boolean {
  const mean = draws / interval;
  const deviation = Math.sqrt(together * mean * (1 - 1 / interval));
  return Math.abs(hits - mean) < 5 * deviation;
}

interface RandomCase {
  readonly name: string;
  readonly bytes: Buffer;
  readonly segments: number;
  readonly gsoSize: number;
  readonly octets: number;
  readonly repeat: number;
  /** Segments that one draw decides on. */
  readonly together: number;
}

const RANDOM_CASES: readonly RandomCase[] = [
  {
    name: 'single packets',
    bytes: udpFrom(1),
    segments: 1,
    gsoSize: 0,
    octets: 32,
    repeat: 200_000,
    together: 1,
  },
  {
    name: 'the 45 segments of an offloaded packet, the last one shorter',
    bytes: ethernet('ipv4', ipv4({ protocol: 6 }, tcp(ACK, 44 * 30 + 7))),
    segments: 45,
    gsoSize: 30,
    octets: 44 * 30 + 7 + 45 * 40,
    repeat: 5000,
    together: 1,
  },
  {
    name: 'more segments than are drawn one by one',
    bytes: ethernet('ipv4', ipv4({ protocol: 6 }, tcp(ACK, 1501))),
    segments: 1501,
    gsoSize: 1,
    octets: 1501 * 41,
    repeat: 200,
    together: 3,
  },
];

for (const { name, bytes, segments, gsoSize, octets, repeat, together } of RANDOM_CASES) {
  t.test(`at random, each has the same chance: ${name}`, { skip }, async (t) => {
    const interval = 10;
    const lab = open(t, { kind: 'random', interval });
    lab.run({ bytes, gsoSegs: segments === 1 ? 0 : segments, gsoSize, repeat });
    const { metered, all } = counted(lab);
    const hits = metered.packets;
    t.ok(isLikely(hits, segments * repeat, interval, together), `${hits} packets`);
    t.same(all, { packets: segments * repeat, octets: octets * repeat }, 'none is forgotten');
    t.same(sum(await lab.sweep('all')), metered, 'the flow has what was counted');
  });
}

t.test('at random, other packets each time', { skip }, async (t) => {
  const choices: string[] = [];
  for (let run = 0; run < 2; run++) {
    const lab = open(t, { kind: 'random', interval: 2 });
    for (let port = 1; port <= 200; port++) lab.run({ bytes: udpFrom(port) });
    const ports = (await lab.sweep('all')).map((record) => record.sourcePort);
    choices.push(ports.sort((a, b) => a - b).join());
  }
  t.not(choices[0], choices[1]);
});

const FIRST_FRAGMENT = ipv4({ protocol: UDP, id: 9, moreFragments: true }, udp(1472));
const LATER_FRAGMENT = ipv4({ protocol: UDP, id: 9, fragmentOffset: 185 }, hex('abcd'));

t.test('a fragment finds its ports though the first one was not selected', { skip }, async (t) => {
  const lab = open(t, { kind: 'count', interval: 2 });
  lab.run({ bytes: ethernet('ipv4', FIRST_FRAGMENT) });
  lab.run({ bytes: ethernet('ipv4', LATER_FRAGMENT) });
  const [record, ...others] = await lab.sweep('all');
  t.same(others, []);
  t.match(record, { packets: 1, octets: 22, sourcePort: 1000, destinationPort: 53 });
  t.equal(lab.counters().FRAGMENTS_UNMATCHED, 0);

  const later = open(t, { kind: 'count', interval: 2 });
  const fragment = (next: number, offset: number, more: boolean, payload: Buffer): Buffer =>
    Buffer.concat([fragmentHeader(next, offset, more, 5), payload]);
  const first = ipv6({ nextHeader: 44 }, fragment(UDP, 0, true, udp(1000)));
  later.run({ bytes: ethernet('ipv6', first) });
  const second = ipv6({ nextHeader: 44 }, fragment(UDP, 126, false, hex('ab')));
  later.run({ bytes: ethernet('ipv6', second) });
  const [ofVersion6] = await later.sweep('all');
  t.match(ofVersion6, { packets: 1, destinationPort: 53 });
});

t.test('what is not metered without sampling is not sampled either', { skip }, async (t) => {
  const lab = open(t, { kind: 'count', interval: 2 });
  lab.run({ bytes: ethernet('arp', Buffer.alloc(28)), repeat: 5 });
  lab.run({ bytes: ethernet('ipv4', hex(`44${'00'.repeat(39)}`)), repeat: 5 });
  t.equal(counted(lab).all.packets, 0);
  lab.run({ bytes: udpFrom(1), repeat: 2 });
  t.equal(counted(lab).metered.packets, 1);
});

for (const program of ['socket_egress', 'socket_ingress'] as const) {
  t.test(`${program} samples likewise`, { skip }, async (t) => {
    const elsewhere = { capture: 'sockets', watchedCgroup: 1234567n } as const;
    const sampling = { kind: 'count', interval: 2 } as const;
    const lab = openPacketLab(16, {}, { ...elsewhere, sampling });
    t.teardown(lab.close);
    lab.run({ ...THREE_SEGMENTS, program, repeat: 2 });
    t.same(counted(lab), {
      metered: { packets: 3, octets: 2620 },
      all: { packets: 6, octets: 5240 },
    });
    t.same(sum(await lab.sweep('all')), { packets: 3, octets: 2620 });
  });
}

t.test('at sockets, loopback counts once also what is not selected', { skip }, async (t) => {
  const packets = {
    'no lookup, IPv4': ipv4({ protocol: UNKNOWN_PROTOCOL }, Buffer.alloc(8)),
    'no lookup, IPv6': ipv6({ nextHeader: UNKNOWN_PROTOCOL }, Buffer.alloc(8)),
    UDP: ipv4({ protocol: UDP }, udp(4)),
  };
  for (const [name, packet] of Object.entries(packets)) {
    const bytes = ethernet(name.endsWith('6') ? 'ipv6' : 'ipv4', packet);
    const lab = open(t, { kind: 'count', interval: 2 }, 'sockets');
    for (const expected of [0, 1, 1, 2]) {
      lab.run({ bytes, program: 'socket_egress' });
      lab.run({ bytes, program: 'socket_ingress' });
      t.equal(counted(lab).metered.packets, expected, name);
    }
    t.equal(counted(lab).all.packets, 4, name);
  }
});

const ICMP_BACK = { protocol: 1, swapped: true } as const;
const ICMPV6_BACK = { nextHeader: 58, swapped: true } as const;

t.test('at sockets, a copy of a reply counts for nobody but the asker', { skip }, async (t) => {
  const pings = [
    ['ipv4', ipv4({ protocol: 1 }, icmp(8, 0, 7)), ipv4(ICMP_BACK, icmp(0, 0, 7))],
    ['ipv6', ipv6({ nextHeader: 58 }, icmp(128, 0, 7)), ipv6(ICMPV6_BACK, icmp(129, 0, 7))],
  ] as const;
  const namespace = openNetworkNamespace(createNamespacePair(t).a.path, loadLibc());
  t.teardown(() => {
    namespace.close();
  });
  for (const [type, request, reply] of pings) {
    const lab = open(t, { kind: 'count', interval: 1000 }, 'sockets');
    namespace.run(() => {
      const wire = { interfaceIndex: 2 }; // the first one after loopback
      lab.run({ ...wire, bytes: ethernet(type, request), program: 'socket_egress' });
      // Each run has a socket of its own: this one did not ask.
      lab.run({ ...wire, bytes: ethernet(type, reply), program: 'socket_ingress' });
    });
    t.equal(counted(lab).all.packets, 1, type);
  }
});
