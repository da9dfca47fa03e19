// Events of processes as the kernel writes them, and the ends of flow records that name their owners.
import { FLOW_RECORD, PROCESS_EVENT, PROCESS_OWNER } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';

const E = PROCESS_EVENT.fields;
const P = PROCESS_OWNER.fields;

export interface EventSettings {
  /** PROCESS_EVENT_KIND */
  readonly kind: number;
  readonly pid?: number;
  readonly startNs?: bigint;
  readonly execId?: number;
  readonly cgroupId?: bigint;
  readonly parentPid?: number;
  readonly parentStartNs?: bigint;
  readonly parentName?: string;
  readonly isScript?: boolean;
  readonly executable?: string;
  readonly arguments?: readonly string[];
}

export function eventBytes(event: EventSettings): Buffer {
  const executable = event.executable === undefined ? '' : `${event.executable}\0`;
  const words = (event.arguments ?? []).map((word) => `${word}\0`).join('');
  const bytes = Buffer.alloc(PROCESS_EVENT.size);
  bytes.writeBigUInt64LE(event.startNs ?? 1_000_000_000n, E.start_ns.offset);
  bytes.writeBigUInt64LE(event.cgroupId ?? 0n, E.cgroup_id.offset);
  bytes.writeBigUInt64LE(event.parentStartNs ?? 500_000_000n, E.parent_start_ns.offset);
  bytes.writeUInt32LE(event.pid ?? 100, E.pid.offset);
  bytes.writeUInt32LE(event.execId ?? 1, E.exec_id.offset);
  bytes.writeUInt32LE(event.parentPid ?? 1, E.parent_pid.offset);
  bytes.writeUInt16LE(Buffer.byteLength(executable), E.executable_octets.offset);
  bytes.writeUInt16LE(Buffer.byteLength(words), E.arguments_octets.offset);
  bytes.write(event.parentName ?? 'systemd', E.parent_comm.offset, E.parent_comm.size);
  bytes.writeUInt8(event.kind, E.kind.offset);
  bytes.writeUInt8(event.isScript === true ? 1 : 0, E.is_script.offset);
  return Buffer.concat([bytes, Buffer.from(executable + words)]);
}

/** A record whose source is this process. */
export function recordOf(owner: {
  readonly pid?: number;
  readonly startNs?: bigint;
  readonly execId?: number;
  readonly cgroupId?: bigint;
}): FlowRecord {
  const bytes = Buffer.alloc(FLOW_RECORD.size);
  const at = FLOW_RECORD.fields.source.offset;
  bytes.writeUInt32LE(owner.pid ?? 100, at + P.pid.offset);
  bytes.writeBigUInt64LE(owner.startNs ?? 1_000_000_000n, at + P.start_ns.offset);
  bytes.writeUInt32LE(owner.execId ?? 1, at + P.exec_id.offset);
  bytes.writeBigUInt64LE(owner.cgroupId ?? 0n, at + P.cgroup_id.offset);
  return new FlowRecord().at(bytes, 0);
}
