// From a flow record to a data record, by the plan of its template. Nothing is allocated per record, and
// octets move in words.
import { epochMsOf } from '../../flow/clock.js';
import { FLOW_FLAG, FLOW_RECORD, PROCESS_OWNER } from '../../flow/flow-contract.gen.js';
import type { FlowSide } from '../../flow/flow-record.js';
import { NON_PROCESS_NAMES, type NonProcessNames } from '../../flow/non-process-names.js';
import type { ProcessDirectory } from '../../flow/process-directory.js';
import type { MessageTimes } from '../messages/outgoing-message.js';
import { copyWords, type MessageOctets } from './message-octets.js';
import { ProcessParts } from './process-parts.js';
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
  /** What was written of processes already. */
  readonly parts: ProcessParts;
  /** By which number collectors know the interface of this index; undefined: by the index. */
  readonly interfaceNumber: ((index: number) => number) | undefined;
  /** Times before sysUptime zero, which went out as 0. */
  clampedTimes: number;
}

const RECORD = FLOW_RECORD.fields;
const OWNER = PROCESS_OWNER.fields;
const WORD = 2 ** 32;
/** The byte order of the kernel's numbers. */
const LITTLE = true;
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
    parts: new ProcessParts(),
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
  out: MessageOctets,
  at: number,
  context: EncodingContext,
): number {
  const { operations, processOperations } = plan;
  const { first, end } = processOperations;
  context.processes.moveTo(record, offset);
  let to = encode(plan, 0, first, out, at, context);
  if (first < end) to = encodeProcesses(plan, out, to, context);
  return encode(plan, end, operations.length, out, to, context);
}

/** Once for all records of a batch that have the same processes. */
function encodeProcesses(
  plan: RecordPlan,
  out: MessageOctets,
  at: number,
  context: EncodingContext,
): number {
  const { parts, processes } = context;
  const known = parts.find(processes.record, plan.template.id);
  if (known !== undefined) {
    context.truncatedFields += known.truncatedFields;
    return copyWords(known.view, known.start, known.octets, out.view, at);
  }
  const { first, end } = plan.processOperations;
  const before = context.truncatedFields;
  const to = encode(plan, first, end, out, at, context);
  parts.keep(out.bytes, at, to, context.truncatedFields - before);
  return to;
}

/** The operations from `first` up to `last`. */
function encode(
  plan: RecordPlan,
  first: number,
  last: number,
  out: MessageOctets,
  at: number,
  context: EncodingContext,
): number {
  const { operations } = plan;
  const { view, offset } = context.processes.record;
  let to = at;
  for (let i = first; i < last; i += STRIDE) {
    const from = offset + (operations[i + 1] ?? 0);
    const octets = operations[i + 2] ?? 0;
    const argument = operations[i + 3] ?? 0;
    switch (operations[i]) {
      case COPY:
        to = copyWords(view, from, octets, out.view, to);
        continue;
      case SWAP:
        swap(view, from, octets, out.view, to);
        break;
      case ZERO:
        out.bytes.fill(0, to, to + octets);
        break;
      case EPOCH:
        writeEpoch(timeAt(view, from, context), out.view, to);
        break;
      case UPTIME:
        writeUptime(timeAt(view, from, context), out.view, to, context);
        break;
      case NTP:
        writeNtpTime(view, from, argument, out.view, to, context);
        break;
      case INTERFACE:
        writeInterface(argument, octets, out.view, to, context);
        break;
      case TEXT:
        to = writeText(textAt(plan, argument, context), octets, from - offset, out, to, context);
        continue;
      case APPLICATION_ID:
        writeApplicationId(textAt(plan, argument, context), out.bytes, to, context);
        break;
      default:
        writeDerived(operations[i] ?? 0, from, out.view, to, context);
    }
    to += octets;
  }
  return to;
}

/** What takes more than a look at one member of the record. */
function writeDerived(
  code: number,
  from: number,
  out: DataView,
  at: number,
  { processes }: EncodingContext,
): void {
  const { record } = processes;
  switch (code) {
    case FRAGMENT_FLAGS:
      out.setUint8(at, (record.flags & FLOW_FLAG.FLOW_FRAGMENTED) === 0 ? 0 : MORE_FRAGMENTS);
      break;
    case RELIABILITY:
      out.setUint8(at, record.isAttributionReliable ? TRUE : FALSE);
      break;
    case USER_ID:
      writeUserId(record.view, from, out, at);
      break;
    case PARENT_PROCESS_ID:
      out.setUint32(at, processes.parentPid(sideAt(from - record.offset)));
      break;
    default:
      throw new RangeError(`operation ${code} is none`);
  }
}

/** Little-endian to network order: the low octets, where there is no room for all. */
function swap(record: DataView, from: number, octets: number, out: DataView, at: number): void {
  switch (octets) {
    case 8:
      out.setUint32(at, record.getUint32(from + 4, LITTLE));
      out.setUint32(at + 4, record.getUint32(from, LITTLE));
      break;
    case 4:
      out.setUint32(at, record.getUint32(from, LITTLE));
      break;
    case 2:
      out.setUint16(at, record.getUint16(from, LITTLE));
      break;
    default:
      for (let k = 0; k < octets; k++) out.setUint8(at + k, record.getUint8(from + octets - 1 - k));
  }
}

function timeAt(record: DataView, from: number, { times }: EncodingContext): number {
  const low = record.getUint32(from, LITTLE);
  return epochMsOf(record.getUint32(from + 4, LITTLE), low, times.bootEpoch);
}

function writeEpoch(ms: number, out: DataView, at: number): void {
  out.setUint32(at, Math.floor(ms / WORD));
  out.setUint32(at + 4, ms); // the low 32 bits
}

function writeUptime(ms: number, out: DataView, at: number, context: EncodingContext): void {
  let uptimeMs = ms - context.times.uptimeZeroMs;
  if (uptimeMs < 0) {
    uptimeMs = 0;
    context.clampedTimes++;
  }
  // The exporting process moves the zero long before this could wrap.
  out.setUint32(at, uptimeMs);
}

/**
 * Seconds since 1900 and their fraction in 2^-32 (RFC 7011 §6.1.9), rounded up to what is kept of it:
 * readers that cut off what they convert to then get the very number.
 */
function writeNtpTime(
  record: DataView,
  from: number,
  unusedBits: number,
  out: DataView,
  at: number,
  context: EncodingContext,
): void {
  // In halves, because a double has not enough digits: 2^32 ns are 4 s and 294967296 ns.
  const high = record.getUint32(from + 4, LITTLE);
  const { bootEpoch } = context.times;
  const rest = high * (WORD % BILLION) + record.getUint32(from, LITTLE) + bootEpoch.nanoseconds;
  const seconds = bootEpoch.seconds + high * 4 + Math.floor(rest / BILLION);
  let nanoseconds = rest % BILLION;
  if (unusedBits !== 0) nanoseconds -= nanoseconds % 1000;
  const step = 2 ** unusedBits;
  out.setUint32(at, seconds + NTP_EPOCH_SECONDS); // its low 32 bits
  out.setUint32(at + 4, Math.ceil((nanoseconds * WORD) / BILLION / step) * step);
}

/** A flow is metered where it crosses one interface, so the other one is not known. */
function writeInterface(
  direction: number,
  octets: number,
  out: DataView,
  at: number,
  { interfaceNumber, processes }: EncodingContext,
): void {
  const { record } = processes;
  const crosses = record.direction === direction || (record.flags & FLOW_FLAG.FLOW_LOOPBACK) !== 0;
  const index = record.interfaceIndex;
  const value = crosses ? (interfaceNumber?.(index) ?? index) : 0;
  if (octets === 4) out.setUint32(at, value);
  else out.setUint16(at, value <= 0xffff ? value : 0);
}

function writeUserId(record: DataView, owner: number, out: DataView, at: number): void {
  const isOwned = record.getUint32(owner + OWNER.pid.offset, LITTLE) !== 0;
  out.setUint32(at, isOwned ? record.getUint32(owner + OWNER.uid.offset, LITTLE) : NO_USER);
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
