// From a flow record to a data record, by the plan of its template. Nothing is allocated per record,
// and 64-bit numbers move octet by octet.
import { epochMs } from '../../flow/clock.js';
import { FLOW_FLAG, FLOW_RECORD, PROCESS_OWNER } from '../../flow/flow-contract.gen.js';
import type { FlowSide } from '../../flow/flow-record.js';
import { NON_PROCESS_NAMES, type NonProcessNames } from '../../flow/non-process-names.js';
import type { ProcessDirectory } from '../../flow/process-directory.js';
import type { MessageTimes } from '../messages/outgoing-message.js';
import {
  APPLICATION_ID,
  COPY,
  EPOCH,
  FRAGMENT_FLAGS,
  INTERFACE,
  NTP,
  PARENT_PROCESS_ID,
  RELIABILITY,
  STRIDE,
  SWAP,
  TEXT,
  UPTIME,
  USER_ID,
  ZERO,
  type RecordPlan,
} from './record-plan.js';
import { RecordProcesses } from './record-processes.js';
import {
  createTextContext,
  writeApplicationId,
  writeText,
  type ApplicationIds,
  type TextContext,
} from './text-field.js';

/** What encoding needs besides the record, and what it counts. One per exporting process. */
export interface EncodingContext extends TextContext {
  /** Of the sweep that is encoded. */
  times: MessageTimes;
  readonly processes: RecordProcesses;
  /** By which number collectors know the interface of this index; undefined: by the index. */
  readonly interfaceNumber: ((index: number) => number) | undefined;
  /** Times before sysUptime zero, which went out as 0. */
  clampedTimes: number;
}

const RECORD = FLOW_RECORD.fields;
const OWNER = PROCESS_OWNER.fields;
const WORD = 2 ** 32;
const BILLION = 1e9;
/** From 1900 to 1970. */
const NTP_EPOCH_SECONDS = 2_208_988_800;
const NO_USER = WORD - 1;
/** "More fragments" of fragmentFlags: not the last packet's bit, but that there was a fragment. */
const MORE_FRAGMENTS = 0x20;
/** A boolean (RFC 7011 §6.1.5). */
const TRUE = 1;
const FALSE = 2;

export function createEncodingContext(
  directory: ProcessDirectory,
  names: NonProcessNames = NON_PROCESS_NAMES,
  applicationIds?: ApplicationIds,
  interfaceNumber?: EncodingContext['interfaceNumber'],
): EncodingContext {
  return {
    times: { bootEpoch: { seconds: 0, nanoseconds: 0 }, uptimeZeroMs: 0, packedMs: 0 },
    processes: new RecordProcesses(directory, names),
    ...createTextContext(applicationIds),
    interfaceNumber,
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
  context.processes.moveTo(record, offset);
  let to = at;
  for (let i = 0; i < operations.length; i += STRIDE) {
    const from = offset + (operations[i + 1] ?? 0);
    const octets = operations[i + 2] ?? 0;
    const argument = operations[i + 3] ?? 0;
    switch (operations[i]) {
      case COPY:
        for (let k = 0; k < octets; k++) out[to + k] = record[from + k] ?? 0;
        break;
      case SWAP:
        for (let k = 0; k < octets; k++) out[to + k] = record[from + octets - 1 - k] ?? 0;
        break;
      case ZERO:
        out.fill(0, to, to + octets);
        break;
      case EPOCH:
        writeEpoch(epochMs(record, from, context.times.bootEpoch), out, to);
        break;
      case UPTIME:
        writeUptime(epochMs(record, from, context.times.bootEpoch), out, to, context);
        break;
      case NTP:
        writeNtpTime(record, from, argument, out, to, context);
        break;
      case INTERFACE:
        writeInterface(record, offset, argument, octets, out, to, context);
        break;
      case TEXT:
        to = writeText(textAt(plan, argument, context), octets, from - offset, out, to, context);
        continue;
      case APPLICATION_ID:
        writeApplicationId(textAt(plan, argument, context), out, to, context);
        break;
      default:
        writeDerived(operations[i] ?? 0, record, offset, from, out, to, context);
    }
    to += octets;
  }
  return to;
}

/** What takes more than a look at one member of the record. */
function writeDerived(
  code: number,
  record: Buffer,
  offset: number,
  from: number,
  out: Buffer,
  at: number,
  { processes }: EncodingContext,
): void {
  switch (code) {
    case FRAGMENT_FLAGS:
      out[at] = hasFlag(record, offset, FLOW_FLAG.FLOW_FRAGMENTED) ? MORE_FRAGMENTS : 0;
      break;
    case RELIABILITY:
      out[at] = processes.record.isAttributionReliable ? TRUE : FALSE;
      break;
    case USER_ID:
      writeUserId(record, from, out, at);
      break;
    case PARENT_PROCESS_ID:
      out.writeUInt32BE(processes.parentPid(sideAt(from - offset)), at);
      break;
    default:
      throw new RangeError(`operation ${code} is none`);
  }
}

function writeEpoch(ms: number, out: Buffer, at: number): void {
  out.writeUInt32BE(Math.floor(ms / WORD), at);
  out.writeUInt32BE(ms % WORD, at + 4);
}

function writeUptime(ms: number, out: Buffer, at: number, context: EncodingContext): void {
  let uptimeMs = ms - context.times.uptimeZeroMs;
  if (uptimeMs < 0) {
    uptimeMs = 0;
    context.clampedTimes++;
  }
  // The exporting process moves the zero long before this could wrap.
  out.writeUInt32BE(uptimeMs % WORD, at);
}

/**
 * Seconds since 1900 and their fraction in 2^-32 (RFC 7011 §6.1.9), rounded up to what is kept of it:
 * readers that cut off what they convert to then get the very number.
 */
function writeNtpTime(
  record: Buffer,
  from: number,
  unusedBits: number,
  out: Buffer,
  at: number,
  context: EncodingContext,
): void {
  // In halves, because a double has not enough digits: 2^32 ns are 4 s and 294967296 ns.
  const high = record.readUInt32LE(from + 4);
  const { bootEpoch } = context.times;
  const rest = high * (WORD % BILLION) + record.readUInt32LE(from) + bootEpoch.nanoseconds;
  const seconds = bootEpoch.seconds + high * 4 + Math.floor(rest / BILLION);
  let nanoseconds = rest % BILLION;
  if (unusedBits !== 0) nanoseconds -= nanoseconds % 1000;
  const step = 2 ** unusedBits;
  out.writeUInt32BE((seconds + NTP_EPOCH_SECONDS) % WORD, at);
  out.writeUInt32BE(Math.ceil((nanoseconds * WORD) / BILLION / step) * step, at + 4);
}

/** A flow is metered where it crosses one interface, so the other one is not known. */
function writeInterface(
  record: Buffer,
  offset: number,
  direction: number,
  octets: number,
  out: Buffer,
  at: number,
  { interfaceNumber }: EncodingContext,
): void {
  const crosses =
    record[offset + RECORD.direction.offset] === direction ||
    hasFlag(record, offset, FLOW_FLAG.FLOW_LOOPBACK);
  const index = record.readUInt32LE(offset + RECORD.interface_index.offset);
  const value = crosses ? (interfaceNumber?.(index) ?? index) : 0;
  if (octets === 4) out.writeUInt32BE(value, at);
  else out.writeUInt16BE(value <= 0xffff ? value : 0, at);
}

function writeUserId(record: Buffer, owner: number, out: Buffer, at: number): void {
  const isOwned = record.readUInt32LE(owner + OWNER.pid.offset) !== 0;
  out.writeUInt32BE(isOwned ? record.readUInt32LE(owner + OWNER.uid.offset) : NO_USER, at);
}

function hasFlag(record: Buffer, offset: number, flag: number): boolean {
  return ((record[offset + RECORD.flags.offset] ?? 0) & flag) !== 0;
}

/** By where its owner stands in the record. */
function sideAt(owner: number): FlowSide {
  return owner === RECORD.source.offset ? 'source' : 'destination';
}

function textAt(plan: RecordPlan, at: number, context: EncodingContext): Uint8Array {
  const encoding = plan.texts[at];
  if (encoding === undefined) throw new RangeError(`no text ${at} in template ${plan.template.id}`);
  return context.processes.text(encoding);
}
