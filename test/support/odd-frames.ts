// Frames that no capture has: tags, headers in chains, fragments, other link layers' packets.
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
} from './packet-bytes.js';

const UDP = 17;
const TCP = 6;
const AH = 51;
const FRAGMENT = 44;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const DESTINATION_OPTIONS = 60;

const datagram = ipv4({ protocol: UDP }, udp(20));
const datagram6 = ipv6({ nextHeader: UDP }, udp(20));
/** With options of 8 octets, so that the next header is not where it mostly is. */
const segment = ipv4({ protocol: TCP, options: Buffer.alloc(8, 1) }, tcp(0x12, 40, [443, 40_000]));

/** A header of IPv6 in a chain, 8 octets. */
const header = (next: number): Buffer => Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]);
/** An authentication header of 24 octets. */
const authentication = (next: number): Buffer =>
  Buffer.concat([Buffer.from([next, 4]), Buffer.alloc(22)]);

const other = (etherType: string, payload: Buffer): Buffer =>
  Buffer.concat([hex(DESTINATION_MAC + SOURCE_MAC + etherType), payload]);

export const TAGGED_FRAMES: readonly Buffer[] = [
  ethernet('vlan', vlan(5, 'ipv4', datagram)),
  ethernet('vlan', vlan(5, 'ipv6', datagram6)),
  ethernet('vlan', vlan(5, 'ipv4', segment)),
  ethernet('vlan', vlan(7, 'ipv4', ipv4({ protocol: 1 }, icmp(8, 0, 77)))),
  ethernet('vlan', vlan(7, 'arp', Buffer.alloc(28, 1))),
  ethernet('qinq', vlan(100, 'vlan', vlan(7, 'ipv4', datagram))),
  ethernet('vlan', vlan(100, 'vlan', vlan(7, 'ipv6', datagram6))),
  ethernet('vlan', vlan(5, 'vlan', vlan(5, 'ipv4', segment))),
  ethernet(
    'vlan',
    vlan(5, 'ipv6', ipv6({ nextHeader: HOP_BY_HOP }, Buffer.concat([header(UDP), udp(4)]))),
  ),
  ethernet('vlan', vlan(0, 'ipv4', Buffer.alloc(0))),
];

export const ODD_FRAMES: readonly Buffer[] = [
  ...TAGGED_FRAMES,
  ethernet('ipv4', segment),
  ethernet('ipv4', ipv4({ protocol: UDP, moreFragments: true, id: 9 }, udp(1000))),
  ethernet('ipv4', ipv4({ protocol: UDP, fragmentOffset: 100, id: 9 }, udp(400))),
  ethernet('ipv4', ipv4({ protocol: AH }, Buffer.concat([authentication(TCP), tcp(2)]))),
  ethernet('ipv4', ipv4({ protocol: 4 }, datagram)),
  ethernet('ipv4', ipv4({ protocol: 47 }, Buffer.alloc(30))),
  ethernet('ipv4', ipv4({ protocol: 132 }, Buffer.alloc(30, 80))),
  ethernet('ipv4', ipv4({ protocol: 2, ttl: 1, tos: 0xc0 }, Buffer.alloc(8))),
  ethernet('ipv4', ipv4({ protocol: 112, ttl: 255 }, Buffer.alloc(12, 3))),
  ethernet('ipv4', ipv4({ protocol: UDP, ttl: 0 }, udp(100, [53, 6081]))),
  ethernet('ipv6', ipv6({ nextHeader: HOP_BY_HOP }, Buffer.concat([header(UDP), udp(4)]))),
  ethernet(
    'ipv6',
    ipv6(
      { nextHeader: ROUTING },
      Buffer.concat([header(DESTINATION_OPTIONS), header(TCP), tcp(2)]),
    ),
  ),
  ethernet(
    'ipv6',
    ipv6({ nextHeader: FRAGMENT }, Buffer.concat([fragmentHeader(UDP, 0, true, 5), udp(64)])),
  ),
  ethernet(
    'ipv6',
    ipv6(
      { nextHeader: FRAGMENT },
      Buffer.concat([fragmentHeader(UDP, 9, false, 5), Buffer.alloc(64, 8)]),
    ),
  ),
  ethernet('ipv6', ipv6({ nextHeader: AH }, Buffer.concat([authentication(58), icmp(128, 0, 3)]))),
  // More headers than any sender makes.
  ethernet(
    'ipv6',
    ipv6(
      { nextHeader: DESTINATION_OPTIONS },
      Buffer.concat([
        ...Array.from({ length: 150 }, () => header(DESTINATION_OPTIONS)),
        header(UDP),
        udp(4),
      ]),
    ),
  ),
  other('8847', Buffer.concat([hex('000641ff'), datagram])), // MPLS, label 100
  other('8847', Buffer.concat([hex('000640ff000c81ff'), datagram])),
  other('8863', Buffer.alloc(20)),
  other('8864', Buffer.concat([hex('1100001100260021'), datagram])), // PPPoE session 0x11
  other('8864', Buffer.concat([hex('1100001200260057'), datagram6])),
  other('0026', Buffer.concat([hex('424203'), Buffer.alloc(35)])), // 802.3: spanning tree
  other('0026', Buffer.concat([hex('fefe0383'), Buffer.alloc(34)])), // 802.3: IS-IS
  other('0026', Buffer.concat([hex('e0e003'), Buffer.alloc(35)])), // 802.3: IPX
  other('809b', Buffer.alloc(30)),
  other('8137', Buffer.alloc(30)),
  other('8035', hex('00010800060400030200000000010a0000010200000000010a000001')),
  other('6003', Buffer.alloc(40, 2)),
  other('9000', Buffer.alloc(0)),
  Buffer.alloc(60, 0xff),
];
