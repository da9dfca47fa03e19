// Connections as two flow descriptions, and what the exporter made of them.
import { exportedRecords } from './exported-messages.js';
import type { FlowDescription } from './flow-description.js';

const SECOND = 1e9;

/** From a client on another host to this one; times in seconds after boot. */
export const CLIENT: FlowDescription = {
  ipVersion: 4,
  sourceAddress: 'c6336402',
  destinationAddress: 'c0000201',
  protocol: 6,
  firstNs: 3500 * SECOND,
  lastNs: 3510 * SECOND,
  packets: 10,
  octets: 1000,
  direction: 'ingress',
  sourcePort: 40000,
  destinationPort: 443,
  interfaceIndex: 2,
  networkNamespace: 4026531840,
  tcpFlags: 0x1b,
  endReason: 3,
};

/** The same connection the other way: a little later, packets and octets of its own. */
export function reverseOf(flow: FlowDescription): FlowDescription {
  const isLoopback = flow.flags?.includes('FLOW_LOOPBACK') ?? false;
  const turned = flow.direction === 'egress' ? ('ingress' as const) : ('egress' as const);
  return {
    ...flow,
    sourceAddress: flow.destinationAddress,
    destinationAddress: flow.sourceAddress,
    sourcePort: flow.destinationPort ?? 0,
    destinationPort: flow.sourcePort ?? 0,
    direction: isLoopback ? flow.direction : turned,
    firstNs: Number(flow.firstNs) + 1000,
    lastNs: Number(flow.lastNs) + 1000,
    packets: 7,
    octets: 70_000,
  };
}

export function udp(flow: FlowDescription): FlowDescription {
  return { ...flow, protocol: 17, tcpFlags: 0, endReason: 1 };
}

/** As many seconds later. */
export function later(seconds: number, flow: FlowDescription): FlowDescription {
  const ns = seconds * SECOND;
  return { ...flow, firstNs: Number(flow.firstNs) + ns, lastNs: Number(flow.lastNs) + ns };
}

const DIRECTIONS = ['arbitrary', 'initiator', 'reverseInitiator'] as const;

export interface ExportedBiflow {
  readonly source: string;
  readonly packets: number;
  readonly octets: number;
  /** undefined in a record of one direction */
  readonly reversePackets: number | undefined;
  readonly reverseOctets: number | undefined;
  readonly direction: (typeof DIRECTIONS)[number] | undefined;
}

/** Every record in these messages. */
export function exportedBiflows(messages: readonly Buffer[]): ExportedBiflow[] {
  return exportedRecords(messages).map(({ fields }) => {
    const number = (key: string): number | undefined => {
      const octets = fields.get(key);
      return octets && Number(BigInt(`0x${octets.toString('hex')}`));
    };
    const hex = (key: string): string => fields.get(key)?.toString('hex') ?? '';
    return {
      source: hex('0/8') + hex('0/27'),
      packets: number('0/2') ?? 0,
      octets: number('0/1') ?? 0,
      reversePackets: number('29305/2'),
      reverseOctets: number('29305/1'),
      direction: DIRECTIONS[number('0/239') ?? -1],
    };
  });
}
