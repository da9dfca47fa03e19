// What stands in front of the IP packet in a frame, by the capture's link type (LINKTYPE_ numbers of
// tcpdump.org/linktypes.html): how long it is, and which EtherType it amounts to.
import type { CapturedFrame } from './captured-frame.js';

const ETHERNET = 1;
/** The number that `ethertype` has for a frame whose Ethernet header tells. */
export const TOLD_BY_FRAME = 0;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
/** Not the number of any protocol. */
const NOT_IP = 0xffff;

/** Written anew for each frame. */
export interface LinkLayer {
  /** Octets before what `ethertype` tells; a VLAN tag can follow. */
  octets: number;
  /** TOLD_BY_FRAME: the frame begins with an Ethernet header. */
  ethertype: number;
  /** Which the kernel of the capturing host gave the interface; undefined: the link type has none. */
  interfaceIndex: number | undefined;
}

type ReadLinkLayer = (frame: CapturedFrame, link: LinkLayer) => void;

/** What the kernel then finds to be cut short: IP behind the frame's end. */
function cutShort(link: LinkLayer, octets: number): void {
  link.octets = octets;
  link.ethertype = IPV4;
}

function fixed(octets: number, ethertypeAt: number, interfaceAt?: number): ReadLinkLayer {
  return ({ bytes, start, end }, link) => {
    if (end - start < octets) {
      cutShort(link, octets);
      return;
    }
    link.octets = octets;
    // 0 is a number of 802.3's, which has its length in that place.
    link.ethertype = bytes.readUInt16BE(start + ethertypeAt) || NOT_IP;
    if (interfaceAt !== undefined) link.interfaceIndex = bytes.readUInt32BE(start + interfaceAt);
  };
}

/** The address family, as the capturing system numbers it: AF_INET is 2 everywhere. */
const AF_INET = 2;
const AF_INET6: ReadonlySet<number> = new Set([10, 24, 28, 30]);

function loopback(isNetworkOrder: boolean): ReadLinkLayer {
  return ({ bytes, start, end, isLittleEndian }, link) => {
    if (end - start < 4) {
      cutShort(link, 4);
      return;
    }
    const isBigEndian = isNetworkOrder || !isLittleEndian;
    const family = isBigEndian ? bytes.readUInt32BE(start) : bytes.readUInt32LE(start);
    link.octets = 4;
    link.ethertype = family === AF_INET ? IPV4 : AF_INET6.has(family) ? IPV6 : NOT_IP;
  };
}

function rawIp({ bytes, start, end }: CapturedFrame, link: LinkLayer): void {
  link.octets = 0;
  const version = end > start ? (bytes[start] ?? 0) >> 4 : 4;
  link.ethertype = version === 4 ? IPV4 : version === 6 ? IPV6 : NOT_IP;
}

/** RFC 1661, its protocol number compressed or not, with or without HDLC's address (RFC 1662). */
function ppp({ bytes, start, end }: CapturedFrame, link: LinkLayer): void {
  let at = start;
  if (bytes[at] === 0xff && bytes[at + 1] === 0x03) at += 2;
  const isCompressed = ((bytes[at] ?? 0) & 1) === 1;
  const octets = isCompressed ? 1 : 2;
  if (end - at < octets) {
    cutShort(link, at + octets - start);
    return;
  }
  const protocol = bytes.readUIntBE(at, octets);
  link.octets = at + octets - start;
  link.ethertype = protocol === 0x21 ? IPV4 : protocol === 0x57 ? IPV6 : NOT_IP;
}

const LINK_TYPES: ReadonlyMap<number, ReadLinkLayer> = new Map([
  [0, loopback(false)], // NULL: BSD loopback, in the host's byte order
  [9, ppp],
  [12, rawIp], // RAW in files of old systems
  [14, rawIp],
  [50, ppp], // PPP_HDLC
  [101, rawIp], // RAW
  [104, fixed(4, 2)], // C_HDLC
  [108, loopback(true)], // LOOP
  [113, fixed(16, 14)], // LINUX_SLL
  [228, rawIp], // IPV4
  [229, rawIp], // IPV6
  [276, fixed(20, 0, 4)], // LINUX_SLL2
]);

/** For who meets one that cannot be read. */
const OTHER_NAMES: Readonly<Record<number, string>> = {
  6: 'IEEE 802.5',
  10: 'FDDI',
  51: 'PPPoE',
  105: 'IEEE 802.11',
  107: 'Frame Relay',
  119: 'Prism',
  127: 'IEEE 802.11 radiotap',
  147: 'USER0',
  189: 'USB',
  192: 'PPI',
  195: 'IEEE 802.15.4',
  201: 'Bluetooth',
  220: 'Linux USB',
  227: 'CAN',
  239: 'nflog',
  249: 'USBPcap',
  253: 'netlink',
  271: 'vsock',
};

/** "IEEE 802.11 (105)" */
export function linkTypeText(linkType: number): string {
  const name = OTHER_NAMES[linkType];
  return name === undefined ? linkType.toString() : `${name} (${linkType})`;
}

/** @returns false where the frame's link type cannot be read */
export function readLinkLayer(frame: CapturedFrame, link: LinkLayer): boolean {
  link.interfaceIndex = undefined;
  if (frame.linkType === ETHERNET) {
    link.octets = 0;
    link.ethertype = TOLD_BY_FRAME;
    return true;
  }
  const read = LINK_TYPES.get(frame.linkType);
  read?.(frame, link);
  return read !== undefined;
}

/** IPv4's longest header and what is read of an ICMP error: its header, and the packet it quotes. */
const IPV4_HEADER_OCTETS = 60;
const TRANSPORT_OCTETS = 14;
const QUOTE_OCTETS = 8 + IPV4_HEADER_OCTETS + 8;
const IPV6_HEADER_OCTETS = 40;
const ETHERNET_OCTETS = 14;
const VLAN_OCTETS = 4;
const IPV6_QUOTE_OCTETS = 8 + IPV6_HEADER_OCTETS + 8;

/**
 * So many of a frame's octets are enough to meter it; at least what the parser in the kernel reads.
 * @returns Infinity where that is not easily told
 */
export function wantedOctets({ bytes, start, end }: CapturedFrame, link: LinkLayer): number {
  let at = start + link.octets;
  let { ethertype } = link;
  if (ethertype === TOLD_BY_FRAME) {
    if (end - start < ETHERNET_OCTETS) return ETHERNET_OCTETS;
    ethertype = bytes.readUInt16BE(start + 12);
    at = start + ETHERNET_OCTETS;
  }
  for (let tags = 0; tags < 2 && isVlan(ethertype) && end - at >= VLAN_OCTETS; tags++) {
    ethertype = bytes.readUInt16BE(at + 2);
    at += VLAN_OCTETS;
  }
  if (ethertype === IPV4) {
    const octets = isTcpOrUdp(bytes[at + 9]) ? TRANSPORT_OCTETS : QUOTE_OCTETS;
    return at - start + IPV4_HEADER_OCTETS + octets;
  }
  if (ethertype !== IPV6) return isVlan(ethertype) ? Infinity : at - start;
  const protocol = bytes[at + 6];
  if (isTcpOrUdp(protocol)) return at - start + IPV6_HEADER_OCTETS + TRANSPORT_OCTETS;
  if (protocol === 58) return at - start + IPV6_HEADER_OCTETS + IPV6_QUOTE_OCTETS;
  return Infinity;
}

function isVlan(ethertype: number): boolean {
  return ethertype === 0x8100 || ethertype === 0x88a8;
}

function isTcpOrUdp(protocol: number | undefined): boolean {
  return protocol === 6 || protocol === 17;
}
