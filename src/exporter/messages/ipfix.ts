// IPFIX messages (RFC 7011): message header, sets and template records.
import { struct, u16be, u32be } from 'buffer-layout';
import type { Template, TemplateField } from '../../templates/flow-template.js';
import type { OptionsTemplate } from '../../templates/options-templates.js';
import type { MessageHeader, TemplateFormat } from './message-format.js';

interface Header {
  readonly version: number;
  readonly length: number;
  readonly exportTime: number;
  readonly sequenceNumber: number;
  readonly observationDomainId: number;
}

// RFC 7011 §3.1
const HEADER = struct<Header>([
  u16be('version'),
  u16be('length'),
  u32be('exportTime'),
  u32be('sequenceNumber'),
  u32be('observationDomainId'),
]);
// RFC 7011 §3.3.2
const SET_HEADER = struct<{ setId: number; length: number }>([u16be('setId'), u16be('length')]);
// RFC 7011 §3.4.1
const TEMPLATE_HEADER = struct<{ templateId: number; fieldCount: number }>([
  u16be('templateId'),
  u16be('fieldCount'),
]);
// RFC 7011 §3.4.2.2: fields are those of the scope too.
const OPTIONS_TEMPLATE_HEADER = struct<{
  templateId: number;
  fieldCount: number;
  scopeFieldCount: number;
}>([u16be('templateId'), u16be('fieldCount'), u16be('scopeFieldCount')]);
// RFC 7011 §3.2: the enterprise number follows where the first bit of the element's is set.
const FIELD = struct<{ element: number; length: number }>([u16be('element'), u16be('length')]);
const ENTERPRISE = struct<{ enterprise: number }>([u32be('enterprise')]);
const ENTERPRISE_BIT = 0x8000;
const TEMPLATE_SET_ID = 2;
const OPTIONS_TEMPLATE_SET_ID = 3;
const WORD = 2 ** 32;

export const IPFIX: TemplateFormat = {
  version: 10,
  headerOctets: HEADER.span,
  setHeaderOctets: SET_HEADER.span,
  templateSetId: TEMPLATE_SET_ID,
  optionsTemplateSetId: OPTIONS_TEMPLATE_SET_ID,
  // Padding is optional (RFC 7011 §3.3.1), and logstash's codec reads it as data.
  setAlignmentOctets: 1,
  maxRecords: Infinity,
  writeMessageHeader,
  writeSetHeader: (setId, length, out, at) => {
    SET_HEADER.encode({ setId, length }, out, at);
  },
  templateRecordOctets: ({ fields }) =>
    fields.reduce((octets, field) => octets + fieldOctets(field), TEMPLATE_HEADER.span),
  writeTemplateRecord,
  optionsTemplateRecordOctets: ({ scope, fields }) =>
    OPTIONS_TEMPLATE_HEADER.span + (scope.length + fields.length) * FIELD.span,
  writeOptionsTemplateRecord,
  isSequenceOfSession: true,
  // "the number of Data Records sent in this [...] stream" (RFC 7011 §3.1): no template records.
  sequenceStep: (dataRecords) => dataRecords,
};

function writeMessageHeader(header: MessageHeader, out: Buffer): void {
  const fields: Header = {
    version: 10,
    length: header.messageOctets,
    exportTime: Math.floor(header.exportTimeMs / 1000) % WORD,
    sequenceNumber: header.sequenceNumber,
    observationDomainId: header.observationDomainId,
  };
  HEADER.encode(fields, out, 0);
}

function fieldOctets(field: TemplateField): number {
  return FIELD.span + (field.enterprise === 0 ? 0 : ENTERPRISE.span);
}

function writeTemplateRecord(template: Template, out: Buffer, at: number): number {
  const { id, fields } = template;
  let to = at + TEMPLATE_HEADER.encode({ templateId: id, fieldCount: fields.length }, out, at);
  for (const { type, enterprise, octets } of fields) {
    const element = enterprise === 0 ? type : type | ENTERPRISE_BIT;
    to += FIELD.encode({ element, length: octets }, out, to);
    if (enterprise !== 0) to += ENTERPRISE.encode({ enterprise }, out, to);
  }
  return to;
}

function writeOptionsTemplateRecord(template: OptionsTemplate, out: Buffer, at: number): number {
  const { id, scope, fields } = template;
  const fieldCount = scope.length + fields.length;
  const header = { templateId: id, fieldCount, scopeFieldCount: scope.length };
  let to = at + OPTIONS_TEMPLATE_HEADER.encode(header, out, at);
  for (const { type, octets } of [...scope, ...fields]) {
    to += FIELD.encode({ element: type, length: octets }, out, to);
  }
  return to;
}
