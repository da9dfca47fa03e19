// From a flow record to a data record: a flat table of operations, compiled once per template and
// run once per record. Nothing is allocated per record, and 64-bit numbers move octet by octet.
import { epochMs } from '../flow/clock.js';
import {
  FLOW_DIRECTION,
  FLOW_FLAG,
  FLOW_RECORD,
  PROCESS_OWNER,
} from '../flow/flow-contract.gen.js';
import { FlowRecord } from '../flow/flow-record.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import { VARIABLE_LENGTH } from '../templates/flow-fields.js';
import type { FieldEncoding, ProcessSide } from '../templates/flow-fields.js';
import type { Template } from '../templates/flow-template.js';
import { writeString } from './string-octets.js';

export interface RecordPlan {
  readonly template: Template;
  /** Four numbers an operation: code, offset in the flow record, octets, code's own argument. */
  readonly operations: Int32Array;
  /** The most octets that a record can have. */
  readonly maxRecordOctets: number;
}

/** What encoding needs besides the record, and what it counts. One per exporting process. */
export interface EncodingContext {
  /** Time of day at CLOCK_BOOTTIME zero. */
  bootEpochMs: number;
  /** Time of day at sysUptime zero, whole milliseconds; only v9 has sysUptime. */
  uptimeZeroMs: number;
  readonly directory: ProcessDirectory;
  /** Moved to the record that is being encoded by what reads more than octets. */
  readonly view: FlowRecord;
  /** Names that did not fit into their field. */
  truncatedFields: number;
  /** Times before sysUptime zero, which went out as 0. */
  clampedTimes: number;
}

const COPY = 0;
const SWAP = 1;
const EPOCH = 2;
const UPTIME = 3;
const INTERFACE = 4;
const FRAGMENT_FLAGS = 5;
const USER_ID = 6;
const RELIABILITY = 7;
const PROCESS_NAME = 8;
const USER_NAME = 9;
const STRIDE = 4;

const RECORD = FLOW_RECORD.fields;
const OWNER = PROCESS_OWNER.fields;
/** Stands for the owner's offset where that depends on the record. */
const LOCAL = -1;
const WORD = 2 ** 32;
const NO_USER = WORD - 1;
/** "More fragments" of fragmentFlags: not the last packet's bit, but that there was a fragment. */
const MORE_FRAGMENTS = 0x20;
/** A boolean (RFC 7011 §6.1.5). */
const TRUE = 1;
const FALSE = 2;
/** The longest name in a field of variable length; one octet then holds the length. */
const MAX_STRING_OCTETS = 64;

export function createEncodingContext(directory: ProcessDirectory): EncodingContext {
  return {
    bootEpochMs: 0,
    uptimeZeroMs: 0,
    directory,
    view: new FlowRecord(),
    truncatedFields: 0,
    clampedTimes: 0,
  };
}

/**
 * Writes one data record and returns where it ends. `out` must have room for maxRecordOctets
 * behind `at`.
 */
export function encodeDataRecord(
  plan: RecordPlan,
  record: Buffer,
  offset: number,
  out: Buffer,
  at: number,
  context: EncodingContext,
): number {
  const { operations } = plan;
  let to = at;
  for (let i = 0; i < operations.length; i += STRIDE) {
    const from = offset + (operations[i + 1] ?? 0);
    const octets = operations[i + 2] ?? 0;
    switch (operations[i]) {
      case COPY:
        for (let k = 0; k < octets; k++) out[to + k] = record[from + k] ?? 0;
        break;
      case SWAP:
        for (let k = 0; k < octets; k++) out[to + k] = record[from + octets - 1 - k] ?? 0;
        break;
      case EPOCH:
        writeEpoch(epochMs(record, from, context.bootEpochMs), out, to);
        break;
      case UPTIME:
        writeUptime(epochMs(record, from, context.bootEpochMs), out, to, context);
        break;
      case INTERFACE:
        writeInterface(record, offset, operations[i + 3] ?? 0, out, to);
        break;
      case FRAGMENT_FLAGS: {
        const flags = record[offset + RECORD.flags.offset] ?? 0;
        out[to] = (flags & FLOW_FLAG.FLOW_FRAGMENTED) === 0 ? 0 : MORE_FRAGMENTS;
        break;
      }
      case RELIABILITY:
        out[to] = context.view.at(record, offset).isAttributionReliable ? TRUE : FALSE;
        break;
      case USER_ID: {
        const isOwned = record.readUInt32LE(from + OWNER.pid.offset) !== 0;
        out.writeUInt32BE(isOwned ? record.readUInt32LE(from + OWNER.uid.offset) : NO_USER, to);
        break;
      }
      default:
        to = writeName(operations, i, record, offset, out, to, context);
        continue;
    }
    to += octets;
  }
  return to;
}

function writeEpoch(ms: number, out: Buffer, at: number): void {
  out.writeUInt32BE(Math.floor(ms / WORD), at);
  out.writeUInt32BE(ms % WORD, at + 4);
}

function writeUptime(ms: number, out: Buffer, at: number, context: EncodingContext): void {
  let uptimeMs = ms - context.uptimeZeroMs;
  if (uptimeMs < 0) {
    uptimeMs = 0;
    context.clampedTimes++;
  }
  // The exporting process moves the zero long before this could wrap.
  out.writeUInt32BE(uptimeMs % WORD, at);
}

/** A flow is metered where it crosses one interface, so the other one is not known. */
function writeInterface(
  record: Buffer,
  offset: number,
  direction: number,
  out: Buffer,
  at: number,
): void {
  const crosses =
    record[offset + RECORD.direction.offset] === direction || isLoopback(record, offset);
  const index = offset + RECORD.interface_index.offset;
  out.writeUInt32BE(crosses ? record.readUInt32LE(index) : 0, at);
}

function isLoopback(record: Buffer, offset: number): boolean {
  return ((record[offset + RECORD.flags.offset] ?? 0) & FLOW_FLAG.FLOW_LOOPBACK) !== 0;
}

/** PROCESS_NAME and USER_NAME: the operations whose length can depend on the record. */
function writeName(
  operations: Int32Array,
  index: number,
  record: Buffer,
  offset: number,
  out: Buffer,
  at: number,
  context: EncodingContext,
): number {
  const ownerOffset = operations[index + 1] ?? 0;
  const octets = operations[index + 2] ?? 0;
  const owner = offset + (ownerOffset === LOCAL ? localOwner(record, offset) : ownerOffset);
  const isVariable = octets === VARIABLE_LENGTH;
  const start = isVariable ? at + 1 : at;
  // A fixed field keeps a NUL at its end, for collectors that read it as a C string.
  const limit = isVariable ? MAX_STRING_OCTETS : octets - 1;
  let written = 0;
  if (record.readUInt32LE(owner + OWNER.pid.offset) !== 0) {
    if (operations[index] === PROCESS_NAME) {
      const { offset: comm, size } = OWNER.comm;
      written = writeString(record, owner + comm, size, out, start, limit);
    } else {
      const name = context.directory.userNameBytes(record.readUInt32LE(owner + OWNER.uid.offset));
      written = writeString(name, 0, name.length, out, start, limit);
    }
  }
  if (written < 0) {
    written = ~written;
    context.truncatedFields++;
  }
  if (isVariable) {
    out[at] = written;
    return start + written;
  }
  out.fill(0, start + written, start + octets);
  return start + octets;
}

/** Where the process on this host stands: it sends what goes out and receives what comes in. */
function localOwner(record: Buffer, offset: number): number {
  const isSent =
    record[offset + RECORD.direction.offset] === FLOW_DIRECTION.FLOW_EGRESS ||
    isLoopback(record, offset);
  return isSent ? RECORD.source.offset : RECORD.destination.offset;
}

export function compileRecordPlan(template: Template): RecordPlan {
  const operations: number[] = [];
  let maxRecordOctets = 0;
  for (const field of template.fields) {
    const isVariable = field.octets === VARIABLE_LENGTH;
    maxRecordOctets += isVariable ? 1 + MAX_STRING_OCTETS : field.octets;
    const last = operations.length - STRIDE;
    const { encoding } = field;
    // Neighbours in the flow record that are neighbours in the data record go in one copy.
    const lastEnd = (operations[last + 1] ?? 0) + (operations[last + 2] ?? 0);
    if (encoding.kind === 'copy' && operations[last] === COPY && lastEnd === encoding.offset) {
      operations[last + 2] = (operations[last + 2] ?? 0) + encoding.octets;
    } else {
      operations.push(...operation(encoding, field.octets));
    }
  }
  return { template, operations: Int32Array.from(operations), maxRecordOctets };
}

function operation(encoding: FieldEncoding, octets: number): [number, number, number, number] {
  switch (encoding.kind) {
    case 'copy':
      return [COPY, encoding.offset, octets, 0];
    case 'swap':
      return [SWAP, encoding.offset, octets, 0];
    case 'epoch':
      return [EPOCH, encoding.offset, octets, 0];
    case 'uptime':
      return [UPTIME, encoding.offset, octets, 0];
    case 'interface': {
      const { FLOW_INGRESS, FLOW_EGRESS } = FLOW_DIRECTION;
      return [INTERFACE, 0, octets, encoding.way === 'ingress' ? FLOW_INGRESS : FLOW_EGRESS];
    }
    case 'fragmentFlags':
      return [FRAGMENT_FLAGS, 0, octets, 0];
    case 'reliability':
      return [RELIABILITY, 0, octets, 0];
    case 'userId':
      return [USER_ID, ownerOffset(encoding.owner), octets, 0];
    case 'processName':
      return [PROCESS_NAME, ownerOffset(encoding.owner), octets, 0];
    case 'userName':
      return [USER_NAME, ownerOffset(encoding.owner), octets, 0];
  }
}

function ownerOffset(owner: ProcessSide): number {
  return owner === 'local' ? LOCAL : RECORD[owner].offset;
}
