// Template and options template sets: what records will look like, and IPFIX's withdrawals.
import { DecodeError } from './decode-error.js';
import type { FieldSpecifier, Template } from './decoded-message.js';
import type { OctetCursor } from './octet-cursor.js';
import { refuse, skipPadding, type SetReading } from './set-reader.js';

const FIRST_TEMPLATE_ID = 256;
const ENTERPRISE_BIT = 0x8000;
const VARIABLE_OCTETS = 65535;
/** Each record starts with its id and a count. */
const MIN_TEMPLATE_OCTETS = 4;

/** Reads a set behind its header. @returns how many records there were, withdrawals too */
export function readTemplateSet(set: OctetCursor, isOptions: boolean, reading: SetReading): number {
  let records = 0;
  // A reader that looks for four zeros only would take the longer padding of some for a template.
  while (set.left >= MIN_TEMPLATE_OCTETS && !set.isZero) {
    readTemplateRecord(set, isOptions, reading);
    records++;
  }
  skipPadding(set, MIN_TEMPLATE_OCTETS - 1, reading);
  return records;
}

function readTemplateRecord(set: OctetCursor, isOptions: boolean, reading: SetReading): void {
  const { format, contents, templates } = reading;
  const offset = set.at;
  const id = set.u16('the template id');
  if (format.isIpfix && set.bytes.readUInt16BE(set.at) === 0) {
    set.u16('the field count');
    readWithdrawal(id, offset, isOptions, reading);
    return;
  }
  const rule = isOptions ? format.rules.optionsTemplates : format.rules.templates;
  if (id < FIRST_TEMPLATE_ID) throw badTemplate(id, offset, `ids start at 256 (${rule})`);
  const { count, scopeCount } = readCounts(set, id, isOptions, reading);
  if (count === 0) throw badTemplate(id, offset, `it has no fields (${rule})`);
  const fields: FieldSpecifier[] = [];
  for (let i = 0; i < count; i++) fields.push(readField(set, i < scopeCount, format.isIpfix));
  const minRecordOctets = fields.reduce(
    (sum, { isVariable, octets }) => sum + (isVariable ? 1 : octets),
    0,
  );
  // Any number of such records would fit any set.
  if (minRecordOctets === 0) throw badTemplate(id, offset, 'its records have no octets');
  const template: Template = { id, isOptions, fields, minRecordOctets };
  if (reading.isStrict && reading.isStream && templates.differs(template)) {
    const reason = 'the id has other fields and was not withdrawn (RFC 7011 §8)';
    refuse(reading, 'template-redefined', offset, `read template ${id}`, reason);
  }
  templates.set(template, offset);
  contents.templates.push(template);
}

interface Counts {
  readonly count: number;
  readonly scopeCount: number;
}

/** RFC 3954 §6.1 gives the lengths of an options template's parts in octets, RFC 7011 counts. */
function readCounts(
  set: OctetCursor,
  id: number,
  isOptions: boolean,
  { format }: SetReading,
): Counts {
  const offset = set.at;
  const rule = format.rules.optionsTemplates;
  if (!isOptions) return { count: set.u16('the field count'), scopeCount: 0 };
  if (format.isIpfix) {
    const count = set.u16('the field count');
    const scopeCount = set.u16('the scope field count');
    if (scopeCount === 0) throw badTemplate(id, offset, `it has no scope (${rule})`);
    if (scopeCount > count) {
      throw badTemplate(id, offset, `${scopeCount} of ${count} fields are scopes (${rule})`);
    }
    return { count, scopeCount };
  }
  const scopeOctets = set.u16('the option scope length');
  const optionOctets = set.u16('the option length');
  if (scopeOctets % 4 !== 0 || optionOctets % 4 !== 0) {
    const reason = `fields take four octets each, not ${scopeOctets} and ${optionOctets} (${rule})`;
    throw badTemplate(id, offset, reason);
  }
  return { count: (scopeOctets + optionOctets) / 4, scopeCount: scopeOctets / 4 };
}

function readField(set: OctetCursor, isScope: boolean, isIpfix: boolean): FieldSpecifier {
  const type = set.u16('a field type');
  const octets = set.u16('a field length');
  if (!isIpfix) {
    // The types of scopes are a registry of their own, and types have all 16 bits.
    const key = isScope ? `scope/${type}` : `0/${type}`;
    return { key, enterprise: 0, element: type, octets, isVariable: false, isScope };
  }
  const enterprise = type >= ENTERPRISE_BIT ? set.u32('an enterprise number') : 0;
  const element = type % ENTERPRISE_BIT;
  const isVariable = octets === VARIABLE_OCTETS;
  return { key: `${enterprise}/${element}`, enterprise, element, octets, isVariable, isScope };
}

function readWithdrawal(
  templateId: number,
  offset: number,
  isOptions: boolean,
  reading: SetReading,
): void {
  const { format, contents, templates } = reading;
  const operation = `withdraw template ${templateId}`;
  const all = isOptions ? format.optionsTemplateSetId : format.templateSetId;
  if (templateId < FIRST_TEMPLATE_ID && templateId !== all) {
    throw badTemplate(templateId, offset, `ids start at 256, and ${all} is all (RFC 7011 §8.1)`);
  }
  const withdrawal = { templateId, isOptions };
  contents.withdrawals.push(withdrawal);
  if (!reading.isStream) {
    const reason = 'withdrawals must not be sent over UDP and must be ignored (RFC 7011 §8.4)';
    refuse(reading, 'bad-withdrawal', offset, operation, reason);
    return;
  }
  if (!templates.withdraw(withdrawal)) {
    const reason = 'there is no such template (RFC 7011 §8.1)';
    refuse(reading, 'bad-withdrawal', offset, operation, reason);
  }
}

function badTemplate(id: number, offset: number, reason: string): DecodeError {
  return new DecodeError('bad-template', offset, `read template ${id}`, reason);
}
