// Flow records for the formatters, field by field.
import { FLOW_RECORD, PROCESS_OWNER } from '../../src/flow/flow-contract.gen.js';
import { NON_PROCESS_NAMES } from '../../src/flow/non-process-names.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { ProcessDirectory, ProcessIdentity } from '../../src/flow/process-directory.js';

type RecordField = keyof typeof FLOW_RECORD.fields;

export interface Owner {
  readonly pid: number;
  readonly uid?: number;
  readonly comm?: string | Buffer;
  readonly method?: number;
  readonly reason?: number;
  readonly startNs?: bigint;
  readonly cgroupId?: bigint;
}

/** Numbers in host order, bytes as they are. */
export type RecordValues = Partial<Record<RecordField, number | bigint | readonly number[]>>;

/** A record in the middle of a buffer, so that a forgotten offset shows. */
export function flowRecord(values: RecordValues, source?: Owner, destination?: Owner): FlowRecord {
  const start = 16;
  const bytes = Buffer.alloc(start + FLOW_RECORD.size, 0);
  bytes.fill(0xee, 0, start);
  for (const [name, value] of Object.entries(values)) {
    const { offset, size } = FLOW_RECORD.fields[name as RecordField];
    if (typeof value === 'object') bytes.set(value, start + offset);
    else if (size === 8) bytes.writeBigUInt64LE(BigInt(value), start + offset);
    else bytes.writeUIntLE(Number(value), start + offset, size);
  }
  if (source !== undefined) writeOwner(bytes, start + FLOW_RECORD.fields.source.offset, source);
  if (destination !== undefined) {
    writeOwner(bytes, start + FLOW_RECORD.fields.destination.offset, destination);
  }
  return new FlowRecord().at(bytes, start);
}

function writeOwner(bytes: Buffer, at: number, owner: Owner): void {
  const P = PROCESS_OWNER.fields;
  bytes.writeBigUInt64LE(owner.startNs ?? 0n, at + P.start_ns.offset);
  bytes.writeBigUInt64LE(owner.cgroupId ?? 0n, at + P.cgroup_id.offset);
  bytes.writeUInt32LE(owner.pid, at + P.pid.offset);
  bytes.writeUInt32LE(owner.uid ?? 0, at + P.uid.offset);
  bytes.writeUInt8(owner.method ?? 0, at + P.method.offset);
  bytes.writeUInt8(owner.reason ?? 0, at + P.reason.offset);
  bytes.set(Buffer.from(owner.comm ?? '').subarray(0, P.comm.size), at + P.comm.offset);
}

/** A port as the record holds it: network order in a field of host order. */
export function port(number: number): number {
  return ((number & 0xff) << 8) | (number >> 8);
}

export const DIRECTORY: ProcessDirectory = {
  userName: (uid: number): string => ({ 0: 'root', 1000: 'alice' })[uid] ?? String(uid),
  userNameBytes: (uid: number): Uint8Array => Buffer.from(DIRECTORY.userName(uid)),
  identity: (): ProcessIdentity | undefined => undefined,
};

export const NOTHING_KNOWN: ProcessIdentity = {
  executable: '',
  commandLine: '',
  parentPid: 0,
  parentName: '',
  cgroupPath: '',
  unit: '',
  containerId: '',
  containerRuntime: '',
  podUid: '',
};

export const NAMES = { directory: DIRECTORY, nonProcessNames: NON_PROCESS_NAMES };
