// Messages of each format written by hand from the standards: what the decoder's tests read, cut
// off and change. One hexadecimal string a part, with what it is.
import { hex } from '../support/packet-bytes.js';

const octets = (...parts: readonly string[]): Buffer => hex(parts.join(''));

export const V1 = octets(
  '0001 0002', // version, count
  '0000ea60', // sysUptime: 60 s
  '65938b35 0ee6b280', // 2024-01-02 04:04:05 and 250,000,000 ns
  'c0000201 c6336402 c00002fe', // srcaddr, dstaddr, nexthop
  '0001 0002', // input, output
  '00000017 000011d7', // dPkts, dOctets
  '0000c350 0000ea5f', // First, Last: 50 s, 59.999 s
  '9c40 01bb', // srcport, dstport
  '0000 06 10 1b', // unused, prot, tos, flags
  '000000 00000000', // unused
  'c6336402 c0000201 00000000 0002 0001 00000001 0000003c', // a second record
  '0000ea60 0000ea60 01bb 9c40 0000 06 00 12',
  '000000 00000000',
);

export const V5 = octets(
  '0005 0002', // version, count
  '0000ea60', // sysUptime: 60 s
  '65938b35 0ee6b280', // 2024-01-02 04:04:05 and 250,000,000 ns
  '0000002a', // sequence number: 42 flows before
  '01 02', // engine type, engine id
  '4064', // sampling: mode 1 (deterministic), one in 100
  'c0000201 c6336402 c00002fe', // srcaddr, dstaddr, nexthop
  '0001 0002', // input, output
  '00000017 000011d7', // dPkts, dOctets
  '0000c350 0000ea5f', // First, Last: 50 s, 59.999 s
  '9c40 01bb', // srcport, dstport
  '00 1b 06 10', // unused, tcp_flags, prot, tos
  'fde8 fde9', // src_as, dst_as
  '18 10 0000', // src_mask, dst_mask, unused
  'c6336402 c0000201 00000000 0002 0001 00000001 0000003c', // a second record
  '0000ea60 0000ea60 01bb 9c40 00 12 06 00 0000 0000 00 00 0000',
);

export const V9_TEMPLATES = octets(
  '0009 0002', // version, count: two template records
  '0000ea60 65938b35', // sysUptime, time
  '00000007 00000003', // sequence number, source id
  '0000 0020', // template FlowSet, length
  '0100 0006', // template 256 of six fields
  '0008 0004', // IPV4_SRC_ADDR
  '000c 0004', // IPV4_DST_ADDR
  '0002 0004', // IN_PKTS
  '0001 0008', // IN_BYTES
  '0004 0001', // PROTOCOL
  'e128 0004', // 57640: all 16 bits are the type
  '0001 0018', // options template FlowSet, length
  '0101', // template 257
  '0004 0008', // scopes and options take 4 and 8 octets
  '0001 0004', // scope: System
  '0022 0002', // SAMPLING_INTERVAL
  '0023 0001', // SAMPLING_ALGORITHM
  '0000', // padding
);

export const V9_DATA = octets(
  '0009 0003', // version, count: two flows, one options data record
  '0000ea61 65938b35', // sysUptime, time
  '00000008 00000003', // sequence number, source id
  '0100 0038', // data of template 256: 4 + 2 * 25 + 2
  'c0000201 c6336402 00000017 00000000000011d7 06 000004d2',
  'c6336402 c0000201 00000001 000000000000003c 11 00000000',
  '0000', // padding
  '0101 000c', // data of template 257: 4 + 7 + 1
  '7f000001 0064 01', // System, one in 100, deterministic
  '00', // padding
);

export const IPFIX_TEMPLATES = octets(
  '000a 0054', // version, length
  '65938b35 00000007 00000003', // time, sequence number, observation domain
  '0002 0024', // template set, length
  '0100 0006', // template 256 of six fields
  '0008 0004', // sourceIPv4Address
  '0001 0003', // octetDeltaCount in reduced size
  '80a9 ffff 00008b30', // enterprise 35632, element 169, variable
  '0060 ffff', // applicationName, variable
  '0088 0001', // flowEndReason
  '009a 0008', // flowStartMicroseconds
  '0003 0020', // options template set, length
  '0101 0004 0002', // template 257 of four fields, two of them scopes
  '0095 0004', // observationDomainId
  '80a8 0002 00008b30', // enterprise 35632, element 168
  '0053 ffff', // interfaceDescription, variable
  '0029 0008', // exportedMessageTotalCount
  '0000', // padding
);

export const IPFIX_DATA = octets(
  '000a 0190', // version, length
  '65938b35 00000007 00000003', // time, sequence number: templates do not count; domain
  '0100 0160', // data of template 256
  'c0000201 0011d7', // 192.0.2.1, 4567 octets
  '04 6375726c', // curl: length 4
  'ff 012c', // a length of 300 takes three octets
  '61'.repeat(300),
  '03 e93e09b5 80000000', // reason; 2024-01-02 04:04:05.5 in NTP's format
  'c6336402 000000',
  '00', // an empty string
  'ff 0003 626172', // RFC 7011 §7: also a short length may take three octets
  '01 e93e09b5 00000001',
  '00', // padding
  '0101 0020', // data of template 257: 4 + 27 + 1
  '00000003 04d2', // scopes
  '0c 4c6f6f706261636b20696620', // "Loopback if "
  '0000000000000009', // 9 messages
  '00', // padding
);

export const IPFIX_WITHDRAWAL = octets(
  '000a 0018', // version, length
  '65938b36 0000000a 00000003', // time, sequence number, observation domain
  '0002 0008', // template set, length
  '0100 0000', // template 256 has no fields: it is withdrawn
);

/** In an order in which each is valid in a stream. */
export const WRITTEN_MESSAGES = [
  V1,
  V5,
  V9_TEMPLATES,
  V9_DATA,
  IPFIX_TEMPLATES,
  IPFIX_DATA,
  IPFIX_WITHDRAWAL,
] as const;

/** An IPFIX message of these sets. */
export function ipfix(...sets: readonly string[]): Buffer {
  const header = '000a 0000 65938b36 0000000a 00000003'; // version, length, time, number, domain
  const message = octets(header, ...sets);
  message.writeUInt16BE(message.length, 2);
  return message;
}

/** A NetFlow v9 message of these sets, said to have `count` records. */
export function netflowV9(count: number, ...sets: readonly string[]): Buffer {
  const header = '0009 0000 0000ea61 65938b35 00000009 00000003';
  const message = octets(header, ...sets);
  message.writeUInt16BE(count, 2);
  return message;
}
