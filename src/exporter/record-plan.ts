// From a template to the plan by which its records are encoded: a flat table of operations, compiled
// once per template and run once per record (data-record.ts).
import { FLOW_DIRECTION, FLOW_RECORD, PROCESS_OWNER } from '../flow/flow-contract.gen.js';
import { VARIABLE_LENGTH } from '../templates/flow-fields.js';
import type { FieldEncoding, ProcessText, ProcessTextEncoding } from '../templates/flow-fields.js';
import type { Template } from '../templates/flow-template.js';

export interface RecordPlan {
  readonly template: Template;
  /** Four numbers an operation: code, offset in the flow record, octets, code's own argument. */
  readonly operations: Int32Array;
  /** What a TEXT operation writes, by its own argument. */
  readonly texts: readonly ProcessTextEncoding[];
  /** The most octets that a record can have. */
  readonly maxRecordOctets: number;
}

/** Codes of operations. */
export const COPY = 0;
export const SWAP = 1;
export const EPOCH = 2;
export const UPTIME = 3;
export const INTERFACE = 4;
export const FRAGMENT_FLAGS = 5;
export const USER_ID = 6;
export const RELIABILITY = 7;
export const PARENT_PROCESS_ID = 8;
export const TEXT = 9;
export const ZERO = 10;
/** Its own argument is how many low bits of the fraction of a second are zero. */
export const NTP = 11;
/** Numbers an operation. */
export const STRIDE = 4;

const RECORD = FLOW_RECORD.fields;
/** The longest texts in fields of variable length. Names of processes have 16 in the kernel. */
const MAX_TEXT_OCTETS: Readonly<Record<ProcessText, number>> = {
  processName: PROCESS_OWNER.fields.comm.size,
  userName: 64,
  parentName: PROCESS_OWNER.fields.comm.size,
  commandLine: 512,
  containerId: 64,
};
/** Above it the length of a text takes three octets instead of one (RFC 7011 §7). */
const MAX_SHORT_OCTETS = 254;
/** The least of a command line that is worth a record. */
const LEAST_COMMAND_LINE_OCTETS = 32;
/** "the bottom 11 bits [...] SHOULD be zero" in microseconds (RFC 7011 §6.1.9). */
const UNUSED_FRACTION_BITS = { microseconds: 11, nanoseconds: 0 } as const;

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
export function prefixOctets(textOctets: number): number {
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
    case 'ntp':
      return [NTP, encoding.offset, octets, UNUSED_FRACTION_BITS[encoding.precision]];
    case 'zero':
      return [ZERO, 0, octets, 0];
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
