// Plain packets of known flows go a short way (bpf/plain_packet.h). Whatever they are, their flows must
// not differ from those of the long way, which all packets take where some are sampled.
import t from 'tap';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { openNetworkNamespace } from '../../src/bpf-loader/network-namespace.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { createNamespacePair } from '../support/network-namespace.js';
import { ethernet, ipv4, ipv6, tcp, udp, vlan } from '../support/packet-bytes.js';
import {
  cannotLoadPrograms,
  openPacketLab,
  type PacketLab,
  type PacketRun,
} from '../support/packet-lab.js';

const skip = cannotLoadPrograms();
const TCP = 6;
const UDP = 17;
const EVERY_PACKET = { sampling: { kind: 'count', interval: 1 } } as const;
const VETH = 2; // the number of a namespace's first interface after loopback, which goes the long way

/** Of TCP: as flags of its header; 0x02 SYN, 0x01 FIN, 0x04 RST, 0x10 ACK, 0x100 AE. */
const FLAGS = [0x10, 0x18, 0x02, 0x11, 0x04, 0x110] as const;

/** Padding that a link adds to what is too short, and that no IP header counts. */
const TRAILER = Buffer.alloc(9, 0xaa);

function framesV4(): readonly Buffer[] {
  return [0, 1, 5, 6, 18, 400].flatMap((payload, i) => [
    ethernet('ipv4', ipv4({ protocol: UDP, ttl: 64 - i, tos: i }, udp(payload))),
    ethernet('ipv4', ipv4({ protocol: UDP }, Buffer.concat([udp(payload), TRAILER]))),
    ethernet('vlan', vlan(7, 'ipv4', ipv4({ protocol: UDP }, udp(payload)))),
    ethernet('ipv4', ipv4({ protocol: UDP, options: Buffer.alloc(8, 1) }, udp(payload))),
    ethernet('ipv4', ipv4({ protocol: UDP, moreFragments: true, id: 9 }, udp(payload))),
    ethernet('ipv4', ipv4({ protocol: UDP, totalLength: 20 }, udp(payload))),
    ethernet('ipv4', ipv4({ protocol: UDP, totalLength: 19 }, udp(payload))),
    ethernet('ipv4', ipv4({ protocol: UDP, totalLength: 0 }, udp(payload))),
    ethernet('ipv4', ipv4({ protocol: UDP, totalLength: 2000 }, udp(payload))),
    ethernet('ipv4', ipv4({ protocol: TCP, ttl: 60 + i }, tcp(FLAGS[i] ?? 0, payload))),
  ]);
}

function framesV6(): readonly Buffer[] {
  return [0, 1, 5, 6, 18, 400].flatMap((payload, i) => [
    ethernet('ipv6', ipv6({ nextHeader: UDP, hopLimit: 64 - i }, udp(payload))),
    ethernet('ipv6', ipv6({ nextHeader: UDP, payloadLength: 0 }, udp(payload))),
    ethernet('ipv6', ipv6({ nextHeader: UDP, payloadLength: 8 }, udp(payload))),
    ethernet('ipv6', ipv6({ nextHeader: UDP, payloadLength: 2000 }, udp(payload))),
    ethernet('ipv6', ipv6({ nextHeader: TCP, trafficClass: i }, tcp(FLAGS[i] ?? 0, payload))),
  ]);
}

/** Super-packets: TCP's segments, what the kernel left uncounted, and others that it does not segment so. */
function offloaded(ip: (protocol: number, payload: Buffer) => Buffer): readonly PacketRun[] {
  const data = ip(TCP, tcp(0x18, 2000));
  const [gsoSize, wireLength] = [700, data.length + 2 * (data.length - 2000)];
  return [
    { bytes: data, gsoSize, gsoSegs: 3 },
    { bytes: data, gsoSize, gsoSegs: 3, wireLength },
    { bytes: data, gsoSize, gsoSegs: 0 },
    { bytes: data, gsoSize: 3000, gsoSegs: 1 },
    { bytes: data, gsoSize: 300, gsoSegs: 3 },
    { bytes: ip(TCP, tcp(0x10, 0)), gsoSize, gsoSegs: 2 },
    { bytes: data, gsoSize: 65_535, gsoSegs: 3 },
    { bytes: data, gsoSize: 1, gsoSegs: 60_000 },
    { bytes: ip(UDP, udp(2000)), gsoSize: 1000, gsoSegs: 2 },
  ];
}

const { first_ns: first, last_ns: last } = FLOW_RECORD.fields;

/** All of a record but its times. */
function described(bytes: Buffer): string {
  return Buffer.from(bytes)
    .fill(0, first.offset, last.offset + last.size)
    .toString('hex');
}

async function flowsOf(lab: PacketLab, packets: readonly PacketRun[]): Promise<readonly string[]> {
  const flows: string[] = [];
  for (const program of ['flow_ingress', 'flow_egress'] as const) {
    for (let round = 0; round < 3; round++) {
      for (const packet of packets)
        lab.run({ ...packet, program, interfaceIndex: VETH, repeat: 20 });
    }
  }
  for await (const { bytes } of lab.cache.sweep('all')) {
    for (let at = 0; at < bytes.length; at += FLOW_RECORD.size) {
      flows.push(described(bytes.subarray(at, at + FLOW_RECORD.size)));
    }
  }
  return flows.sort();
}

const packetsV4 = [
  ...framesV4().map((bytes) => ({ bytes })),
  ...offloaded((protocol, payload) => ethernet('ipv4', ipv4({ protocol }, payload))),
];
const packetsV6 = [
  ...framesV6().map((bytes) => ({ bytes })),
  ...offloaded((nextHeader, payload) => ethernet('ipv6', ipv6({ nextHeader }, payload))),
];

for (const [version, packets] of [
  ['IPv4', packetsV4],
  ['IPv6', packetsV6],
] as const) {
  t.test(`${version}: the short way counts what the long way counts`, { skip }, async (t) => {
    // Test runs are for an interface of the thread's namespace, which must be there.
    const namespace = openNetworkNamespace(createNamespacePair(t).a.path, loadLibc());
    t.teardown(() => namespace.close());
    const short = openPacketLab();
    t.teardown(short.close);
    const long = openPacketLab(1024, {}, EVERY_PACKET);
    t.teardown(long.close);
    const [expected, found] = await namespace.run(() =>
      Promise.all([flowsOf(long, packets), flowsOf(short, packets)]),
    );
    t.ok(expected.length > 2, `${expected.length} flows`);
    t.same(found, expected);
    const { METERED_PACKETS, METERED_OCTETS, MALFORMED_PACKETS } = long.counters();
    t.match(short.counters(), { METERED_PACKETS, METERED_OCTETS, MALFORMED_PACKETS });
  });
}

t.test('more packets and octets than an entry has in one word', { skip }, async (t) => {
  const lab = openPacketLab();
  t.teardown(lab.close);
  const bytes = ethernet('ipv4', ipv4({ protocol: TCP }, tcp(0x10, 3000)));
  const [gsoSegs, runs] = [3000, 1_200_000]; // of 24 bits of packets and 37 of octets
  lab.run({ bytes, gsoSegs, gsoSize: 1, repeat: runs });
  const { METERED_PACKETS, METERED_OCTETS } = lab.counters();
  const [record] = await lab.sweep('all');
  t.equal(record?.packets, gsoSegs * runs);
  t.equal(record?.packets, METERED_PACKETS);
  t.equal(record?.octets, METERED_OCTETS);
});
