// NetFlow v9 messages (RFC 3954): the export packet's header, flow sets and template records.
import { struct, u16be, u32be } from 'buffer-layout';
import type { Template } from '../../templates/flow-template.js';
import type { OptionsTemplate } from '../../templates/options-templates.js';
import type { MessageHeader, TemplateFormat } from './message-format.js';

interface Header {
  readonly version: number;
  readonly count: number;
  readonly sysUptime: number;
  readonly unixSecs: number;
  readonly sequenceNumber: number;
  readonly sourceId: number;
}

// RFC 3954 §5.1
const HEADER = struct<Header>([
  u16be('version'),
  u16be('count'),
  u32be('sysUptime'),
  u32be('unixSecs'),
  u32be('sequenceNumber'),
  u32be('sourceId'),
]);
// RFC 3954 §5.2 and §5.3
const SET_HEADER = struct<{ flowSetId: number; length: number }>([
  u16be('flowSetId'),
  u16be('length'),
]);
const TEMPLATE_HEADER = struct<{ templateId: number; fieldCount: number }>([
  u16be('templateId'),
  u16be('fieldCount'),
]);
// RFC 3954 §6.1: lengths in octets, not numbers of fields.
const OPTIONS_TEMPLATE_HEADER = struct<{
  templateId: number;
  scopeOctets: number;
  optionOctets: number;
}>([u16be('templateId'), u16be('scopeOctets'), u16be('optionOctets')]);
const FIELD = struct<{ type: number; length: number }>([u16be('type'), u16be('length')]);
const TEMPLATE_SET_ID = 0;
const OPTIONS_TEMPLATE_SET_ID = 1;
const WORD = 2 ** 32;

export const NETFLOW_V9: TemplateFormat = {
  version: 9,
  headerOctets: HEADER.span,
  setHeaderOctets: SET_HEADER.span,
  templateSetId: TEMPLATE_SET_ID,
  optionsTemplateSetId: OPTIONS_TEMPLATE_SET_ID,
  // "The padding [...] so that the subsequent FlowSet starts at a 4-byte aligned boundary"
  setAlignmentOctets: 4,
  maxRecords: Infinity,
  writeMessageHeader,
  writeSetHeader: (flowSetId, length, out, at) => {
    SET_HEADER.encode({ flowSetId, length }, out, at);
  },
  templateRecordOctets: ({ fields }) => TEMPLATE_HEADER.span + fields.length * FIELD.span,
  writeTemplateRecord,
  optionsTemplateRecordOctets: ({ scope, fields }) =>
    OPTIONS_TEMPLATE_HEADER.span + (scope.length + fields.length) * FIELD.span,
  writeOptionsTemplateRecord,
  isSequenceOfSession: false,
  // The number of export packets (RFC 3954 §5.1), template packets too.
  sequenceStep: () => 1,
};

/*
 * The header has the time of day in whole seconds, and collectors take the exporter's start to be
 * unixSecs - sysUptime. Both are therefore given for one moment that is a whole second: the flow
 * times then come out exact to the millisecond. It is the next second and not the last one,
 * because no flow may end after sysUptime: pmacct subtracts without sign, and dates a flow that
 * ends later than the header 49.7 days back.
 */
function writeMessageHeader(header: MessageHeader, out: Buffer): void {
  const unixSecs = Math.ceil(header.exportTimeMs / 1000);
  const fields: Header = {
    version: 9,
    count: header.records,
    sysUptime: (unixSecs * 1000 - header.uptimeZeroMs) % WORD,
    unixSecs: unixSecs % WORD,
    sequenceNumber: header.sequenceNumber,
    sourceId: header.observationDomainId,
  };
  HEADER.encode(fields, out, 0);
}

function writeTemplateRecord(template: Template, out: Buffer, at: number): number {
  const { id, fields } = template;
  let to = at + TEMPLATE_HEADER.encode({ templateId: id, fieldCount: fields.length }, out, at);
  for (const { type, octets } of fields) to += FIELD.encode({ type, length: octets }, out, to);
  return to;
}

function writeOptionsTemplateRecord(template: OptionsTemplate, out: Buffer, at: number): number {
  const { id, scope, fields } = template;
  const header = {
    templateId: id,
    scopeOctets: scope.length * FIELD.span,
    optionOctets: fields.length * FIELD.span,
  };
  let to = at + OPTIONS_TEMPLATE_HEADER.encode(header, out, at);
  for (const { type, octets } of [...scope, ...fields]) {
    to += FIELD.encode({ type, length: octets }, out, to);
  }
  return to;
}
