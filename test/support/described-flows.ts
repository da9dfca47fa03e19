// Flows that several tests encode, each written out once.
import type { FlowDescription } from './flow-description.js';

/** Sent by curl, ended by FIN, in a VLAN in a VLAN. */
export const CURL_FLOW: FlowDescription = {
  ipVersion: 4,
  sourceAddress: 'c0000201',
  destinationAddress: 'c6336402',
  protocol: 6,
  firstNs: 3_599_000_000_000,
  lastNs: 3_599_999_000_000,
  packets: 23,
  octets: 4567,
  direction: 'egress',
  sourcePort: 40000,
  destinationPort: 443,
  interfaceIndex: 2,
  minLength: 40,
  maxLength: 1500,
  tcpFlags: 0x1b,
  vlanId: 5,
  innerVlanId: 77,
  minTtl: 63,
  maxTtl: 64,
  sourceMac: '020000000001',
  destinationMac: '020000000002',
  tos: 0x10,
  endReason: 3,
  source: { pid: 1234, uid: 1000, comm: 'curl' },
};

/** An echo request that came in as fragments, for the kernel to answer. */
export const PING_FLOW: FlowDescription = {
  ipVersion: 6,
  sourceAddress: '20010db8000000000000000000000001',
  destinationAddress: '20010db8000000000000000000000002',
  protocol: 58,
  firstNs: 1_000_000,
  lastNs: 2_000_000,
  packets: 1,
  octets: 100,
  direction: 'ingress',
  flags: ['FLOW_FRAGMENTED'],
  icmpTypeCode: 0x8001,
  destinationPort: 0x8001,
  interfaceIndex: 3,
  endReason: 1,
};

/** Both processes are on this host. */
export const LOOPBACK_FLOW: FlowDescription = {
  ipVersion: 4,
  sourceAddress: '7f000001',
  destinationAddress: '7f000001',
  protocol: 17,
  firstNs: 3_598_000_000_000,
  lastNs: 3_598_500_000_000,
  packets: 2,
  octets: 168,
  direction: 'ingress',
  flags: ['FLOW_LOOPBACK'],
  sourcePort: 53,
  destinationPort: 5353,
  interfaceIndex: 1,
  endReason: 2,
  source: { pid: 5, uid: 33, comm: 'named' },
  destination: { pid: 6, uid: 4242, comm: 'resolver' },
};
