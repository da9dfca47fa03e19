// From a flow record to a data record: a flat table of operations, compiled once per template and
// run once per record. Nothing is allocated per record, and 64-bit numbers move octet by octet.
import { epochMs } from '../flow/clock.js';
import {
  FLOW_DIRECTION,
  FLOW_FLAG,
  FLOW_RECORD,
  PROCESS_OWNER,
} from '../flow/flow-contract.gen.js';
import { NON_PROCESS_NAMES, type NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import { VARIABLE_LENGTH } from '../templates/flow-fields.js';
import type { FieldEncoding, ProcessText, ProcessTextEncoding } from '../templates/flow-fields.js';
import type { Template } from '../templates/flow-template.js';
import { RecordProcesses } from './record-processes.js';
import { writeString } from './string-octets.js';

export interface RecordPlan {
  readonly template: Template;
  /** Four numbers an operation: code, offset in the flow record, octets, code's own argument. */
  readonly operations: Int32Array;
  /** What a TEXT operation writes, by its own argument. */
  readonly texts: readonly ProcessTextEncoding[];
  /** The most octets that a record can have. */
  readonly maxRecordOctets: number;
}

/** What encoding needs besides the record, and what it counts. One per exporting process. */
export interface EncodingContext {
  /** Time of day at CLOCK_BOOTTIME zero. */
  bootEpochMs: number;
  /** Time of day at sysUptime zero, whole milliseconds; only v9 has sysUptime. */
  uptimeZeroMs: number;
  readonly processes: RecordProcesses;
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
const PARENT_PROCESS_ID = 8;
const TEXT = 9;
const STRIDE = 4;

const RECORD = FLOW_RECORD.fields;
const OWNER = PROCESS_OWNER.fields;
const WORD = 2 ** 32;
const NO_USER = WORD - 1;
/** "More fragments" of fragmentFlags: not the last packet's bit, but that there was a fragment. */
const MORE_FRAGMENTS = 0x20;
/** A boolean (RFC 7011 §6.1.5). */
const TRUE = 1;
const FALSE = 2;
/** The longest texts in fields of variable length. Names of processes have 16 in the kernel. */
const MAX_TEXT_OCTETS: Readonly<Record<ProcessText, number>> = {
  processName: OWNER.comm.size,
  userName: 64,
  parentName: OWNER.comm.size,
  commandLine: 512,
  containerId: 64,
};
/** Above it the length of a text takes three octets instead of one (RFC 7011 §7). */
const MAX_SHORT_OCTETS = 254;
/** The least of a command line that is worth a record. */
const LEAST_COMMAND_LINE_OCTETS = 32;

export function createEncodingContext(
  directory: ProcessDirectory,
  names: NonProcessNames = NON_PROCESS_NAMES,
): EncodingContext {
  return {
    bootEpochMs: 0,
    uptimeZeroMs: 0,
    processes: new RecordProcesses(directory, names),
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
  const { operations, texts } = plan;
  const { processes } = context;
  processes.moveTo(record, offset);
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
        out[to] = processes.record.isAttributionReliable ? TRUE : FALSE;
        break;
      case USER_ID:
        writeUserId(record, from, out, to);
        break;
      case PARENT_PROCESS_ID: {
        const isSource = operations[i + 1] === RECORD.source.offset;
        out.writeUInt32BE(processes.parentPid(isSource ? 'source' : 'destination'), to);
        break;
      }
      default: {
        const encoding = texts[operations[i + 3] ?? 0];
        if (encoding === undefined) break;
        const text = processes.text(encoding.text, encoding.owner);
        to = writeText(text, octets, operations[i + 1] ?? 0, out, to, context);
        continue;
      }
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

function writeUserId(record: Buffer, owner: number, out: Buffer, at: number): void {
  const isOwned = record.readUInt32LE(owner + OWNER.pid.offset) !== 0;
  out.writeUInt32BE(isOwned ? record.readUInt32LE(owner + OWNER.uid.offset) : NO_USER, at);
}

function isLoopback(record: Buffer, offset: number): boolean {
  return ((record[offset + RECORD.flags.offset] ?? 0) & FLOW_FLAG.FLOW_LOOPBACK) !== 0;
}

/** Returns where the field ends: the only one whose length can depend on the record. */
function writeText(
  text: Uint8Array,
  octets: number,
  limit: number,
  out: Buffer,
  at: number,
  context: EncodingContext,
): number {
  const isVariable = octets === VARIABLE_LENGTH;
  // By the length before it is sanitised, which makes no text longer: a text that turns out shorter
  // may have a length of three octets all the same.
  const start = isVariable ? at + prefixOctets(Math.min(text.length, limit)) : at;
  let written = writeString(text, 0, text.length, out, start, limit);
  if (written < 0) {
    written = ~written;
    context.truncatedFields++;
  }
  if (isVariable) {
    if (start === at + 1) out[at] = written;
    else {
      out[at] = 255;
      out.writeUInt16BE(written, at + 1);
    }
    return start + written;
  }
  out.fill(0, start + written, start + octets);
  return start + octets;
}

/**
 * Plans by which no record is longer than `maxRecordOctets`: only command lines give way, all of
 * them to the same limit, so that a process has the same one in all of its records.
 */
export function compileRecordPlans(
  templates: readonly Template[],
  maxRecordOctets: number,
): RecordPlan[] {
  const shares = templates.map((template) => {
    const { texts, maxRecordOctets: rest } = compileRecordPlan(template, 0);
    const commandLines = texts.filter(({ text }) => text === 'commandLine').length;
    // Two more for a length of three octets.
    return commandLines === 0 ? Infinity : (maxRecordOctets - rest) / commandLines - 2;
  });
  const share = Math.floor(Math.min(MAX_TEXT_OCTETS.commandLine, ...shares));
  const limit = Math.max(LEAST_COMMAND_LINE_OCTETS, share);
  return templates.map((template) => compileRecordPlan(template, limit));
}

/** @param commandLineOctets the longest command line in a field of variable length */
export function compileRecordPlan(
  template: Template,
  commandLineOctets = LEAST_COMMAND_LINE_OCTETS,
): RecordPlan {
  const operations: number[] = [];
  const texts: ProcessTextEncoding[] = [];
  let maxRecordOctets = 0;
  for (const field of template.fields) {
    const { encoding, octets } = field;
    if (encoding.kind === 'processText') {
      const limit = textLimit(encoding.text, octets, commandLineOctets);
      operations.push(TEXT, limit, octets, texts.length);
      texts.push(encoding);
      maxRecordOctets += octets === VARIABLE_LENGTH ? prefixOctets(limit) + limit : octets;
      continue;
    }
    maxRecordOctets += octets;
    const last = operations.length - STRIDE;
    // Neighbours in the flow record that are neighbours in the data record go in one copy.
    const lastEnd = (operations[last + 1] ?? 0) + (operations[last + 2] ?? 0);
    if (encoding.kind === 'copy' && operations[last] === COPY && lastEnd === encoding.offset) {
      operations[last + 2] = (operations[last + 2] ?? 0) + encoding.octets;
    } else {
      operations.push(...operation(encoding, octets));
    }
  }
  return { template, operations: Int32Array.from(operations), texts, maxRecordOctets };
}

/** The most octets of the text itself. */
function textLimit(text: ProcessText, octets: number, commandLineOctets: number): number {
  // A fixed field keeps a NUL at its end, for collectors that read it as a C string.
  if (octets !== VARIABLE_LENGTH) return octets - 1;
  return text === 'commandLine' ? commandLineOctets : MAX_TEXT_OCTETS[text];
}

/** What the length of a text in a field of variable length takes. */
function prefixOctets(textOctets: number): number {
  return textOctets > MAX_SHORT_OCTETS ? 3 : 1;
}

function operation(
  encoding: Exclude<FieldEncoding, ProcessTextEncoding>,
  octets: number,
): [number, number, number, number] {
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
    case 'parentProcessId':
      return [PARENT_PROCESS_ID, RECORD[encoding.owner].offset, octets, 0];
    case 'userId':
      return [USER_ID, RECORD[encoding.owner].offset, octets, 0];
  }
}
