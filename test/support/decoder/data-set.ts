// Data sets and the fixed records of NetFlow v1 and v5: values by a template.
import { DecodeError } from './decode-error.js';
import type {
  DecodedRecord,
  FieldSpecifier,
  MessageContents,
  Template,
} from './decoded-message.js';
import type { OctetCursor } from './octet-cursor.js';
import { skipPadding, type SetReading } from './set-reader.js';

/**
 * Of one message. Only fields of no octets can exceed it: without them 65,535 octets are at most
 * so many values. With them a small message could ask for billions.
 */
const MAX_VALUES = 131_072;
/** The first octet of a length that takes three. */
const LONG_LENGTH = 255;

/** Reads a set behind its header. @returns how many records there were */
export function readDataSet(set: OctetCursor, template: Template, reading: SetReading): number {
  const { contents, format } = reading;
  const first = contents.records.length;
  while (set.left >= template.minRecordOctets) readRecord(set, template, contents);
  skipPadding(set, format.maxPaddingOctets, reading);
  return contents.records.length - first;
}

/** @throws DecodeError where the record ends behind its set */
export function readRecord(set: OctetCursor, template: Template, contents: MessageContents): void {
  contents.valueCount += template.fields.length;
  if (contents.valueCount > MAX_VALUES) {
    const operation = `read a record of template ${template.id}`;
    const reason = `the message has more than ${MAX_VALUES} values, most of them empty`;
    throw new DecodeError('too-many-values', set.at, operation, reason);
  }
  const fields = new Map<string, Buffer>();
  const values: Buffer[] = [];
  for (const field of template.fields) {
    const value = set.octets(readLength(set, field), field.key);
    values.push(value);
    if (!fields.has(field.key)) fields.set(field.key, value);
  }
  const { id: templateId, isOptions } = template;
  const record: DecodedRecord = { templateId, isOptions, fields, values, template };
  contents.records.push(record);
}

/** RFC 7011 §7: one octet, or 255 and two more. */
function readLength(set: OctetCursor, { isVariable, octets }: FieldSpecifier): number {
  if (!isVariable) return octets;
  const length = set.u8('a length');
  return length === LONG_LENGTH ? set.u16('a long length') : length;
}
