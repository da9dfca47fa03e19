// Flows in words, as fixtures and tests write them, and the kernel's record of each.
import {
  ATTRIBUTION_METHOD,
  FLOW_DIRECTION,
  FLOW_FLAG,
  FLOW_RECORD,
  OWNER_FLAG,
  PROCESS_OWNER,
  UNKNOWN_REASON,
} from '../../src/flow/flow-contract.gen.js';
import type { FlowRecordBatch } from '../../src/flow/flow-source.js';

/** A process, or why there is none: then only method and reason. */
export interface ProcessDescription {
  readonly pid?: number;
  readonly uid?: number;
  /** Bytes only where no string has them. */
  readonly comm?: string | Uint8Array;
  /** ATTRIBUTION_SOCKET with a pid and ATTRIBUTION_UNKNOWN without one, unless it is given. */
  readonly method?: keyof typeof ATTRIBUTION_METHOD;
  readonly reason?: keyof typeof UNKNOWN_REASON;
  readonly flags?: readonly (keyof typeof OWNER_FLAG)[];
}

export interface FlowDescription {
  readonly ipVersion: 4 | 6;
  /** Hexadecimal, without separators. */
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly protocol: number;
  /** CLOCK_BOOTTIME. */
  readonly firstNs: number | bigint;
  readonly lastNs: number | bigint;
  readonly packets: number | bigint;
  readonly octets: number | bigint;
  readonly direction: 'ingress' | 'egress';
  readonly flags?: readonly ('FLOW_FRAGMENTED' | 'FLOW_ENDED' | 'FLOW_LOOPBACK')[];
  readonly source?: ProcessDescription;
  readonly destination?: ProcessDescription;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpTypeCode?: number;
  readonly interfaceIndex?: number;
  readonly networkNamespace?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly tcpFlags?: number;
  readonly vlanId?: number;
  readonly innerVlanId?: number;
  readonly minTtl?: number;
  readonly maxTtl?: number;
  readonly sourceMac?: string;
  readonly destinationMac?: string;
  readonly tos?: number;
  readonly endReason?: number;
}

const F = FLOW_RECORD.fields;
const P = PROCESS_OWNER.fields;

/** The flows as the kernel hands them over. */
export function flowBatch(flows: readonly FlowDescription[]): FlowRecordBatch {
  const bytes = Buffer.alloc(flows.length * FLOW_RECORD.size);
  flows.forEach((flow, i) => writeFlow(flow, bytes.subarray(i * FLOW_RECORD.size)));
  return { bytes, count: flows.length };
}

function writeFlow(flow: FlowDescription, out: Buffer): void {
  out.writeBigUInt64LE(BigInt(flow.firstNs), F.first_ns.offset);
  out.writeBigUInt64LE(BigInt(flow.lastNs), F.last_ns.offset);
  out.writeBigUInt64LE(BigInt(flow.packets), F.packets.offset);
  out.writeBigUInt64LE(BigInt(flow.octets), F.octets.offset);
  if (flow.source !== undefined) writeOwner(flow.source, out, F.source.offset);
  if (flow.destination !== undefined) writeOwner(flow.destination, out, F.destination.offset);
  out.write(flow.sourceAddress, F.source_address.offset, 'hex');
  out.write(flow.destinationAddress, F.destination_address.offset, 'hex');
  out.writeUInt32LE(flow.interfaceIndex ?? 0, F.interface_index.offset);
  out.writeUInt32LE(flow.networkNamespace ?? 0, F.netns.offset);
  out.writeUInt16BE(flow.sourcePort ?? 0, F.source_port.offset);
  out.writeUInt16BE(flow.destinationPort ?? 0, F.destination_port.offset);
  out.writeUInt16BE(flow.icmpTypeCode ?? 0, F.icmp_type_code.offset);
  out.writeUInt16LE(flow.minLength ?? 0, F.min_length.offset);
  out.writeUInt16LE(flow.maxLength ?? 0, F.max_length.offset);
  out.writeUInt16LE(flow.tcpFlags ?? 0, F.tcp_flags.offset);
  out.writeUInt16LE(flow.vlanId ?? 0, F.vlan_id.offset);
  out.writeUInt16LE(flow.innerVlanId ?? 0, F.inner_vlan_id.offset);
  out.writeUInt8(flow.minTtl ?? 0, F.min_ttl.offset);
  out.writeUInt8(flow.maxTtl ?? 0, F.max_ttl.offset);
  out.write(flow.sourceMac ?? '', F.source_mac.offset, 'hex');
  out.write(flow.destinationMac ?? '', F.destination_mac.offset, 'hex');
  out.writeUInt8(flow.ipVersion, F.ip_version.offset);
  out.writeUInt8(flow.protocol, F.protocol.offset);
  const isEgress = flow.direction === 'egress';
  const direction = isEgress ? FLOW_DIRECTION.FLOW_EGRESS : FLOW_DIRECTION.FLOW_INGRESS;
  out.writeUInt8(direction, F.direction.offset);
  out.writeUInt8(flow.tos ?? 0, F.tos.offset);
  out.writeUInt8(flow.endReason ?? 0, F.end_reason.offset);
  const flags = (flow.flags ?? []).reduce((sum, flag) => sum | FLOW_FLAG[flag], 0);
  out.writeUInt8(flags, F.flags.offset);
}

function writeOwner(process: ProcessDescription, out: Buffer, at: number): void {
  out.writeUInt32LE(process.pid ?? 0, at + P.pid.offset);
  out.writeUInt32LE(process.uid ?? 0, at + P.uid.offset);
  const method =
    process.method ?? (process.pid === undefined ? 'ATTRIBUTION_UNKNOWN' : 'ATTRIBUTION_SOCKET');
  out.writeUInt8(ATTRIBUTION_METHOD[method], at + P.method.offset);
  out.writeUInt8(UNKNOWN_REASON[process.reason ?? 'REASON_NONE'], at + P.reason.offset);
  const flags = (process.flags ?? []).reduce((sum, flag) => sum | OWNER_FLAG[flag], 0);
  out.writeUInt8(flags, at + P.flags.offset);
  const comm = Buffer.from(process.comm ?? '');
  out.set(comm.subarray(0, P.comm.size), at + P.comm.offset);
}
