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
  const values: Buffer[] = [];
  for (const field of template.fields) values.push(set.octets(readLength(set, field), field.key));
  contents.records.push(new TemplateRecord(template, values));
}

/** Its map is made when it is first asked for: that takes longer than to read the record. */
class TemplateRecord implements DecodedRecord {
  readonly templateId: number;
  readonly isOptions: boolean;
  readonly values: readonly Buffer[];
  readonly template: Template;
  #fields: Map<string, Buffer> | undefined;

  constructor(template: Template, values: readonly Buffer[]) {
    this.templateId = template.id;
    this.isOptions = template.isOptions;
    this.values = values;
    this.template = template;
  }

  get fields(): ReadonlyMap<string, Buffer> {
    this.#fields ??= firstByKey(this.template, this.values);
    return this.#fields;
  }
}

function firstByKey({ fields }: Template, values: readonly Buffer[]): Map<string, Buffer> {
  const byKey = new Map<string, Buffer>();
  values.forEach((value, i) => {
    const key = fields[i]?.key;
    if (key !== undefined && !byKey.has(key)) byKey.set(key, value);
  });
  return byKey;
}

/** RFC 7011 §7: one octet, or 255 and two more. */
function readLength(set: OctetCursor, { isVariable, octets }: FieldSpecifier): number {
  if (!isVariable) return octets;
  const length = set.u8('a length');
  return length === LONG_LENGTH ? set.u16('a long length') : length;
}
