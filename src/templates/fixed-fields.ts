// The records of NetFlow v1 and v5: what other formats say in a template is fixed in these, by
// Cisco's description of them. IPv4 only, and without a process.
import { FLOW_RECORD } from '../flow/flow-contract.gen.js';
import type { ElementName, FieldEncoding } from './flow-fields.js';

export interface FixedField {
  readonly element: ElementName;
  readonly encoding: FieldEncoding;
  readonly octets: number;
}

type RecordField = keyof typeof FLOW_RECORD.fields;

const ZERO = { kind: 'zero' } as const;
const WORD_OCTETS = 4;

function copy(element: ElementName, member: RecordField, octets: number): FixedField {
  const { offset } = FLOW_RECORD.fields[member];
  return { element, encoding: { kind: 'copy', offset, octets }, octets };
}

/** The low half of a counter: what is larger goes into several records (saturated-counters.ts). */
function counter(element: ElementName, member: 'packets' | 'octets'): FixedField {
  const { offset } = FLOW_RECORD.fields[member];
  const encoding = { kind: 'swap', offset, octets: WORD_OCTETS } as const;
  return { element, encoding, octets: WORD_OCTETS };
}

function uptime(element: ElementName, member: 'first_ns' | 'last_ns'): FixedField {
  const { offset } = FLOW_RECORD.fields[member];
  return { element, encoding: { kind: 'uptime', offset }, octets: WORD_OCTETS };
}

function zero(element: ElementName, octets: number): FixedField {
  return { element, encoding: ZERO, octets };
}

/** The first 36 octets, the same in both. */
const COMMON_FIELDS: readonly FixedField[] = [
  copy('sourceIPv4Address', 'source_address', 4),
  copy('destinationIPv4Address', 'destination_address', 4),
  zero('ipNextHopIPv4Address', 4),
  { element: 'ingressInterface', encoding: { kind: 'interface', way: 'ingress' }, octets: 2 },
  { element: 'egressInterface', encoding: { kind: 'interface', way: 'egress' }, octets: 2 },
  counter('packetDeltaCount', 'packets'),
  counter('octetDeltaCount', 'octets'),
  uptime('flowStartSysUpTime', 'first_ns'),
  uptime('flowEndSysUpTime', 'last_ns'),
  copy('sourceTransportPort', 'source_port', 2),
  // type * 256 + code for ICMP, as collectors expect it
  copy('destinationTransportPort', 'destination_port', 2),
];

/** 48 octets a record. */
export const NETFLOW1_FIELDS: readonly FixedField[] = [
  ...COMMON_FIELDS,
  zero('paddingOctets', 2),
  copy('protocolIdentifier', 'protocol', 1),
  copy('ipClassOfService', 'tos', 1),
  copy('tcpControlBits', 'tcp_flags', 1),
  zero('paddingOctets', 7),
];

/** 48 octets a record. */
export const NETFLOW5_FIELDS: readonly FixedField[] = [
  ...COMMON_FIELDS,
  zero('paddingOctets', 1),
  copy('tcpControlBits', 'tcp_flags', 1),
  copy('protocolIdentifier', 'protocol', 1),
  copy('ipClassOfService', 'tos', 1),
  zero('bgpSourceAsNumber', 2),
  zero('bgpDestinationAsNumber', 2),
  zero('sourceIPv4PrefixLength', 1),
  zero('destinationIPv4PrefixLength', 1),
  zero('paddingOctets', 2),
];
