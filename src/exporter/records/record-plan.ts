// From a template to the plan by which its records are encoded: a flat table of operations, compiled
// once per template and run once per record (data-record.ts).
import { FLOW_DIRECTION, FLOW_RECORD, PROCESS_OWNER } from '../../flow/flow-contract.gen.js';
import { VARIABLE_LENGTH } from '../../templates/flow-fields.js';
import type { FieldEncoding, ProcessText, TextEncoding } from '../../templates/flow-fields.js';
import type { Template, TemplateField } from '../../templates/flow-template.js';

export interface RecordPlan {
  readonly template: Template;
  /** Four numbers an operation: code, offset in the flow record, octets, code's own argument. */
  readonly operations: Int32Array;
  /** Those in a row that depend on the processes alone, and on nothing else of the flow. */
  readonly processOperations: { readonly first: number; readonly end: number };
  /** What TEXT and APPLICATION_ID operations write, by their own argument. */
  readonly texts: readonly TextEncoding[];
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
export const APPLICATION_ID = 12;
const PROCESS_OPERATIONS: ReadonlySet<number> = new Set([
  ...[USER_ID, RELIABILITY, PARENT_PROCESS_ID],
  ...[TEXT, APPLICATION_ID],
]);
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
/** The least of a command line, or of a text with one in it, that is worth a record. */
const LEAST_LONG_TEXT_OCTETS = 32;
/** Texts that the user's format makes longer than a user's name are long, and give way. */
const LONGEST_FIRM_OCTETS = MAX_TEXT_OCTETS.userName;
/** "the bottom 11 bits [...] SHOULD be zero" in microseconds (RFC 7011 §6.1.9). */
const UNUSED_FRACTION_BITS = { microseconds: 11, nanoseconds: 0 } as const;

/**
 * Plans by which no record is longer than `maxRecordOctets`: only command lines and long texts in the
 * user's formats give way, all of them to the same limit, so that a process has the same one in all of
 * its records.
 */
export function compileRecordPlans(
  templates: readonly Template[],
  maxRecordOctets: number,
): RecordPlan[] {
  const shares = templates.map((template) => {
    const { maxRecordOctets: rest } = compileRecordPlan(template, 0);
    const longTexts = template.fields.filter(isLongText).length;
    // Two more for a length of three octets.
    return longTexts === 0 ? Infinity : (maxRecordOctets - rest) / longTexts - 2;
  });
  const share = Math.floor(Math.min(MAX_TEXT_OCTETS.commandLine, ...shares));
  const limit = Math.max(LEAST_LONG_TEXT_OCTETS, share);
  return templates.map((template) => compileRecordPlan(template, limit));
}

/** @param longTextOctets the longest command line in a field of variable length */
export function compileRecordPlan(
  template: Template,
  longTextOctets = LEAST_LONG_TEXT_OCTETS,
): RecordPlan {
  const operations: number[] = [];
  const texts: TextEncoding[] = [];
  let maxRecordOctets = 0;
  for (const field of template.fields) {
    const { encoding, octets } = field;
    if (encoding.kind === 'processText' || encoding.kind === 'formattedText') {
      const limit = textLimit(encoding, octets, longTextOctets);
      operations.push(TEXT, limit, octets, texts.length);
      texts.push(encoding);
      maxRecordOctets += octets === VARIABLE_LENGTH ? prefixOctets(limit) + limit : octets;
      continue;
    }
    if (encoding.kind === 'applicationId') {
      operations.push(APPLICATION_ID, 0, octets, texts.length);
      texts.push(encoding.name);
      maxRecordOctets += octets;
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
  const processOperations = processOperationsOf(operations);
  return {
    ...{ template, texts, maxRecordOctets, processOperations },
    operations: Int32Array.from(operations),
  };
}

/** The last ones in a row: in the profiles that is all of them. */
function processOperationsOf(operations: readonly number[]): RecordPlan['processOperations'] {
  let end = operations.length;
  while (end > 0 && !isOfProcess(operations, end - STRIDE)) end -= STRIDE;
  let first = end;
  while (first > 0 && isOfProcess(operations, first - STRIDE)) first -= STRIDE;
  return { first, end };
}

function isOfProcess(operations: readonly number[], at: number): boolean {
  const [code = COPY, offset = 0] = operations.slice(at, at + 2);
  if (PROCESS_OPERATIONS.has(code)) return true;
  const { source, destination } = RECORD;
  return code === SWAP && offset >= source.offset && offset < destination.offset + destination.size;
}

function isLongText({ encoding, octets }: TemplateField): boolean {
  if (encoding.kind !== 'processText' && encoding.kind !== 'formattedText') return false;
  return octets === VARIABLE_LENGTH && longestText(encoding) > LONGEST_FIRM_OCTETS;
}

/** The most octets of the text itself. */
function textLimit(encoding: TextEncoding, octets: number, longTextOctets: number): number {
  // A fixed field keeps a NUL at its end, for collectors that read it as a C string.
  if (octets !== VARIABLE_LENGTH) return octets - 1;
  const longest = longestText(encoding);
  return longest > LONGEST_FIRM_OCTETS ? Math.min(longest, longTextOctets) : longest;
}

/** The longest text in a field of variable length, if there is room for it. */
function longestText(encoding: TextEncoding): number {
  if (encoding.kind === 'processText') return MAX_TEXT_OCTETS[encoding.text];
  // A word for why there is no process has as much room as a name of one.
  const { maxOctets } = encoding.format;
  return Math.min(Math.max(maxOctets, MAX_TEXT_OCTETS.processName), MAX_SHORT_OCTETS);
}

/** What the length of a text in a field of variable length takes. */
export function prefixOctets(textOctets: number): number {
  return textOctets > MAX_SHORT_OCTETS ? 3 : 1;
}

function operation(
  encoding: Exclude<FieldEncoding, TextEncoding | { kind: 'applicationId' }>,
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
