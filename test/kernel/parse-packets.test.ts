// Packets in, flow records out: the parser and the meter, in the real kernel.
import t from 'tap';
import { ENDED, FRAGMENTED, field } from '../support/record-fields.js';
import { cannotLoadPrograms, openPacketLab, type PacketRun } from '../support/packet-lab.js';
import {
  DESTINATION_MAC,
  SOURCE_MAC,
  ethernet,
  fragmentHeader,
  hex,
  icmp,
  ipv4,
  ipv6,
  tcp,
  udp,
  vlan,
} from '../support/packet-bytes.js';
import type { FlowRecord } from '../../src/flow/flow-record.js';

const TC_ACT_UNSPEC = 0xffffffff;
const UNKNOWN_PROTOCOL = 253; // RFC 3692: for experiments

/** What a record should say; only what the case is about. */
type Expected = Readonly<Record<string, number | string>>;

interface Case {
  readonly name: string;
  readonly packets: readonly PacketRun[];
  readonly flows: readonly Expected[];
  readonly counters?: Readonly<Record<string, number>>;
}

function describe(record: FlowRecord): Record<string, number | string> {
  return {
    version: record.ipVersion,
    protocol: record.protocol,
    source: record.address('source'),
    destination: record.address('destination'),
    sourcePort: record.sourcePort,
    destinationPort: record.destinationPort,
    packets: record.packets,
    octets: record.octets,
    tcpFlags: record.tcpFlags,
    icmpTypeCode: record.icmpTypeCode,
    icmpId: field(record, 'icmp_id', 'network'),
    tos: field(record, 'tos'),
    minTtl: field(record, 'min_ttl'),
    maxTtl: field(record, 'max_ttl'),
    minLength: field(record, 'min_length'),
    maxLength: field(record, 'max_length'),
    vlanId: field(record, 'vlan_id'),
    innerVlanId: field(record, 'inner_vlan_id'),
    fragmented: record.flags & FRAGMENTED,
    ended: record.flags & ENDED,
    direction: record.direction,
    sourceMac: field(record, 'source_mac', 'hex'),
    destinationMac: field(record, 'destination_mac', 'hex'),
  };
}

const one = (bytes: Buffer, options: Partial<PacketRun> = {}): PacketRun[] => [
  { bytes, ...options },
];

/** Hop-by-hop options, then `next`: 8 octets. */
const hopByHop = (next: number): Buffer => Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]);
/** Destination options of 16 octets. */
const destinationOptions = (next: number): Buffer =>
  Buffer.concat([Buffer.from([next, 1, 1, 12]), Buffer.alloc(12)]);
/** Authentication header with 12 octets of integrity check: (length + 2) * 4 = 24. */
const authentication = (next: number): Buffer =>
  Buffer.concat([Buffer.from([next, 4]), Buffer.alloc(22)]);

const CASES: readonly Case[] = [
  {
    name: 'a TCP packet over IPv4 gives every field',
    packets: one(ethernet('ipv4', ipv4({ protocol: 6, tos: 0xb8, ttl: 63 }, tcp(0x12, 10)))),
    flows: [
      {
        version: 4,
        protocol: 6,
        source: '10.0.0.1',
        destination: '10.0.0.2',
        sourcePort: 1000,
        destinationPort: 80,
        packets: 1,
        octets: 50,
        tcpFlags: 0x12,
        tos: 0xb8,
        minTtl: 63,
        maxTtl: 63,
        minLength: 50,
        maxLength: 50,
        fragmented: 0,
        ended: 0,
        sourceMac: SOURCE_MAC,
        destinationMac: DESTINATION_MAC,
      },
    ],
    counters: { METERED_PACKETS: 1, METERED_OCTETS: 50, FLOWS_CREATED: 1 },
  },
  {
    name: 'a UDP packet over IPv6 gives traffic class and hop limit',
    packets: one(
      ethernet('ipv6', ipv6({ nextHeader: 17, trafficClass: 0x2e, hopLimit: 9 }, udp(5))),
    ),
    flows: [
      {
        version: 6,
        protocol: 17,
        source: '2001:db8::1',
        destination: '2001:db8::2',
        sourcePort: 1000,
        destinationPort: 53,
        octets: 53,
        tos: 0x2e,
        minTtl: 9,
      },
    ],
  },
  {
    name: 'ports are found behind IPv4 options',
    packets: one(
      ethernet('ipv4', ipv4({ protocol: 17, options: hex('94040000 01010100') }, udp(4))),
    ),
    flows: [{ sourcePort: 1000, destinationPort: 53, octets: 40 }],
  },
  {
    name: 'ports are found behind IPv6 extension headers',
    packets: one(
      ethernet(
        'ipv6',
        ipv6({ nextHeader: 0 }, Buffer.concat([hopByHop(60), destinationOptions(17), udp(4)])),
      ),
    ),
    flows: [{ protocol: 17, sourcePort: 1000, destinationPort: 53, octets: 40 + 8 + 16 + 12 }],
  },
  {
    name: 'the authentication header counts its length in words',
    packets: one(
      ethernet('ipv6', ipv6({ nextHeader: 51 }, Buffer.concat([authentication(6), tcp(2)]))),
    ),
    flows: [{ protocol: 6, sourcePort: 1000, destinationPort: 80, tcpFlags: 2 }],
  },
  {
    name: 'an ICMP echo keeps type and identifier, and has no source port',
    packets: one(ethernet('ipv4', ipv4({ protocol: 1 }, icmp(8, 0, 0x1234)))),
    flows: [{ icmpTypeCode: 0x0800, icmpId: 0x1234, sourcePort: 0, destinationPort: 0x0800 }],
  },
  {
    name: 'an ICMP error has no identifier',
    packets: one(ethernet('ipv4', ipv4({ protocol: 1 }, icmp(3, 3, 0x1234)))),
    flows: [{ icmpTypeCode: 0x0303, icmpId: 0, destinationPort: 0x0303 }],
  },
  {
    name: 'an ICMPv6 echo likewise',
    packets: one(ethernet('ipv6', ipv6({ nextHeader: 58 }, icmp(128, 0, 7)))),
    flows: [{ icmpTypeCode: 0x8000, icmpId: 7, sourcePort: 0 }],
  },
  {
    name: 'an unknown protocol has ports 0',
    packets: one(ethernet('ipv4', ipv4({ protocol: UNKNOWN_PROTOCOL }, Buffer.alloc(30, 0xff)))),
    flows: [{ protocol: UNKNOWN_PROTOCOL, sourcePort: 0, destinationPort: 0, octets: 50 }],
  },
  {
    name: 'a VLAN tag is kept and does not count as octets',
    packets: one(ethernet('vlan', vlan(42, 'ipv4', ipv4({ protocol: 17 }, udp(4))))),
    flows: [{ vlanId: 42, innerVlanId: 0, octets: 32, destinationPort: 53 }],
  },
  {
    name: 'QinQ keeps both tags, the outer one first',
    packets: one(
      ethernet('qinq', vlan(7, 'vlan', vlan(42, 'ipv6', ipv6({ nextHeader: 17 }, udp(4))))),
    ),
    flows: [{ version: 6, vlanId: 7, innerVlanId: 42, destinationPort: 53 }],
  },
  {
    name: 'padding behind a short packet is not counted',
    packets: one(ethernet('ipv4', Buffer.concat([ipv4({ protocol: 6 }, tcp(2)), Buffer.alloc(6)]))),
    flows: [{ octets: 40 }],
  },
  {
    name: 'a length field that promises too much counts what is there',
    packets: one(ethernet('ipv4', ipv4({ protocol: 6, totalLength: 1500 }, tcp(2)))),
    flows: [{ octets: 40 }],
  },
  {
    name: 'two packets add up, with the extremes and the flags of both',
    packets: [
      { bytes: ethernet('ipv4', ipv4({ protocol: 6, ttl: 64 }, tcp(0x02))) },
      { bytes: ethernet('ipv4', ipv4({ protocol: 6, ttl: 60, tos: 4 }, tcp(0x11, 100))) },
    ],
    flows: [
      {
        packets: 2,
        octets: 180,
        tcpFlags: 0x13,
        minTtl: 60,
        maxTtl: 64,
        minLength: 40,
        maxLength: 140,
        tos: 0,
        ended: ENDED,
      },
    ],
  },
  {
    name: 'the two directions are two flows',
    packets: [
      { bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(1))) },
      { bytes: ethernet('ipv4', ipv4({ protocol: 17, swapped: true }, udp(1, [53, 1000]))) },
    ],
    flows: [
      { source: '10.0.0.1', packets: 1 },
      { source: '10.0.0.2', packets: 1 },
    ],
  },
  {
    name: 'egress is another flow than ingress',
    packets: [
      { bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(1))) },
      { bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(1))), program: 'flow_egress' },
    ],
    flows: [{ direction: 0 }, { direction: 1 }],
  },
  {
    name: 'a device without link layer begins with IP',
    packets: [
      { bytes: ipv4({ protocol: 17 }, udp(4)), program: 'flow_ingress_ip' },
      { bytes: ipv6({ nextHeader: 17 }, udp(4)), program: 'flow_egress_ip' },
    ],
    flows: [
      { version: 4, octets: 32, direction: 0, sourceMac: '000000000000' },
      { version: 6, octets: 52, direction: 1 },
    ],
  },
  {
    name: 'later fragments join the flow of the first one',
    packets: [
      { bytes: ethernet('ipv4', ipv4({ protocol: 17, id: 9, moreFragments: true }, udp(1472))) },
      { bytes: ethernet('ipv4', ipv4({ protocol: 17, id: 9, fragmentOffset: 185 }, hex('abcd'))) },
    ],
    flows: [{ packets: 2, octets: 1500 + 22, destinationPort: 53, fragmented: FRAGMENTED }],
    counters: { FRAGMENTS_UNMATCHED: 0 },
  },
  {
    name: 'a later fragment alone has ports 0 and is counted as unmatched',
    packets: one(ethernet('ipv4', ipv4({ protocol: 17, id: 10, fragmentOffset: 185 }, hex('ab')))),
    flows: [{ sourcePort: 0, destinationPort: 0, packets: 1, fragmented: FRAGMENTED }],
    counters: { FRAGMENTS_UNMATCHED: 1 },
  },
  {
    name: 'IPv6 fragments likewise, though the later one names another header',
    packets: [
      {
        bytes: ethernet(
          'ipv6',
          ipv6({ nextHeader: 44 }, Buffer.concat([fragmentHeader(17, 0, true, 5), udp(1000)])),
        ),
      },
      {
        bytes: ethernet(
          'ipv6',
          ipv6({ nextHeader: 44 }, Buffer.concat([fragmentHeader(60, 126, false, 5), hex('ab')])),
        ),
      },
    ],
    flows: [{ protocol: 17, packets: 2, destinationPort: 53, fragmented: FRAGMENTED }],
  },
  {
    name: 'an atomic fragment (RFC 6946) is a whole packet',
    packets: one(
      ethernet(
        'ipv6',
        ipv6({ nextHeader: 44 }, Buffer.concat([fragmentHeader(17, 0, false, 5), udp(4)])),
      ),
    ),
    flows: [{ protocol: 17, destinationPort: 53, fragmented: 0 }],
  },
  {
    name: 'an offloaded packet counts as its segments, headers included',
    packets: one(ethernet('ipv4', ipv4({ protocol: 6 }, tcp(0x18, 2500))), {
      gsoSegs: 3,
      gsoSize: 1000,
    }),
    flows: [{ packets: 3, octets: 3 * 40 + 2500, minLength: 540, maxLength: 1040 }],
    counters: { METERED_PACKETS: 3, METERED_OCTETS: 2620 },
  },
  {
    name: 'segments that nobody counted are computed',
    packets: one(ethernet('ipv6', ipv6({ nextHeader: 17 }, udp(2001))), { gsoSize: 1000 }),
    flows: [{ packets: 3, octets: 3 * 48 + 2001, minLength: 49, maxLength: 1048 }],
  },
  {
    name: 'a frame that is not IP is counted and not metered',
    packets: one(ethernet('arp', Buffer.alloc(28))),
    flows: [],
    counters: { NON_IP_FRAMES: 1, METERED_PACKETS: 0 },
  },
  {
    name: 'an IPv4 header shorter than its minimum is malformed',
    packets: one(ethernet('ipv4', hex(`44${'00'.repeat(39)}`))),
    flows: [],
    counters: { MALFORMED_PACKETS: 1, METERED_PACKETS: 0 },
  },
  {
    name: 'an IP header cut short is malformed',
    packets: one(ethernet('vlan', vlan(1, 'ipv6', hex('6000000000')))),
    flows: [],
    counters: { MALFORMED_PACKETS: 1 },
  },
  {
    name: 'a total length below the header length is malformed',
    packets: one(ethernet('ipv4', ipv4({ protocol: 17, totalLength: 19 }, udp(4)))),
    flows: [],
    counters: { MALFORMED_PACKETS: 1 },
  },
  {
    name: 'a tunnel repeats its inner headers too: on egress the kernel has counted them',
    // 14 link layer, 20 + 8 outer, 50 inner headers and 2500 payload in segments of 1000
    packets: one(ethernet('ipv4', ipv4({ protocol: 17 }, udp(50 + 2500, [1000, 4789]))), {
      program: 'flow_egress',
      gsoSegs: 3,
      gsoSize: 1000,
      wireLength: 3 * (14 + 28 + 50) + 2500,
    }),
    flows: [{ packets: 3, octets: 3 * 78 + 2500, minLength: 578, maxLength: 1078 }],
  },
  {
    name: 'a length on the wire that no headers account for is not believed',
    packets: one(ethernet('ipv4', ipv4({ protocol: 17 }, udp(2500))), {
      program: 'flow_egress',
      gsoSegs: 3,
      gsoSize: 1000,
      wireLength: 14 + 28 + 2500 + 2,
    }),
    flows: [{ packets: 3, octets: 3 * 28 + 2500, minLength: 528, maxLength: 1028 }],
  },
  {
    name: 'more segments than octets are not believed',
    packets: one(ethernet('ipv4', ipv4({ protocol: 17 }, udp(2500))), {
      gsoSegs: 65_535,
      gsoSize: 1000,
    }),
    flows: [{ packets: 3, octets: 3 * 28 + 2500, minLength: 528, maxLength: 1028 }],
  },
  {
    name: 'no segment is longer than all of them',
    packets: one(ethernet('ipv4', ipv4({ protocol: 17 }, udp(2500))), {
      gsoSegs: 2,
      gsoSize: 65_534,
    }),
    flows: [{ packets: 2, octets: 2 * 28 + 2500, maxLength: 28 + 2500 }],
  },
  {
    name: 'a transport header that ends behind the ports has ports and no flags',
    packets: one(ethernet('ipv4', ipv4({ protocol: 6 }, hex('03e8 0050 00000000')))),
    flows: [{ protocol: 6, sourcePort: 1000, destinationPort: 80, tcpFlags: 0, octets: 28 }],
  },
  {
    name: 'a transport header cut short before that leaves the ports 0',
    packets: one(ethernet('ipv4', ipv4({ protocol: 6 }, hex('03e8 00')))),
    flows: [{ protocol: 6, sourcePort: 0, destinationPort: 0, packets: 1, octets: 23 }],
  },
];

void t.test('packets become flows', { skip: cannotLoadPrograms() }, async (t) => {
  for (const { name, packets, flows, counters } of CASES) {
    await t.test(name, async (t) => {
      const lab = openPacketLab();
      t.teardown(lab.close);
      for (const packet of packets) t.equal(lab.run(packet), TC_ACT_UNSPEC, 'only looks');
      const found = (await lab.sweep('all')).map(describe);
      found.sort((a, b) => `${a.source}${a.direction}`.localeCompare(`${b.source}${b.direction}`));
      t.equal(found.length, flows.length, 'number of flows');
      flows.forEach((expected, i) => {
        const actual = found[i] ?? {};
        const compared = Object.fromEntries(Object.keys(expected).map((key) => [key, actual[key]]));
        t.same(compared, expected);
      });
      const counted = lab.counters();
      for (const [counter, value] of Object.entries(counters ?? {})) {
        t.equal(counted[counter as keyof typeof counted], value, counter);
      }
    });
  }
});
