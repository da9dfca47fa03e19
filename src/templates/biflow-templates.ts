// Templates of biflows (RFC 5103): both directions of a connection in one record. The fields of the
// flow's template are the forward direction's, and some of them are there a second time in reverse.
import { BIFLOW_ENTRY } from './biflow-entry.js';
import { FLOW_FIELDS } from './flow-fields.js';
import type { AddressFamily, FieldEncoding } from './flow-fields.js';
import type { Template, TemplateField, TemplateOptions } from './flow-template.js';
import { INFORMATION_ELEMENTS } from './information-elements.gen.js';

/** "Reverse Information Elements": the same numbers under this enterprise (RFC 5103 §6.1). */
export const REVERSE_ENTERPRISE = 29305;
/** Those of uniflows are 256 and 257. */
const TEMPLATE_IDS = { ipv4: 258, ipv6: 259 } as const satisfies Record<AddressFamily, number>;

const DIRECTION_FIELD: TemplateField = {
  element: 'biflowDirection',
  type: INFORMATION_ELEMENTS.biflowDirection.id,
  enterprise: 0,
  octets: 1,
  encoding: { kind: 'copy', offset: BIFLOW_ENTRY.direction, octets: 1 },
};

/** The templates with biflowDirection, for flows whose reverse is not known, and those of biflows. */
export function withBiflows(
  templates: readonly Template[],
  profile: TemplateOptions['profile'],
): Template[] {
  const uniflows = templates.map((template) => ({
    ...template,
    fields: [...template.fields, DIRECTION_FIELD],
  }));
  const biflows = templates.map(({ fields, ...template }) => ({
    ...template,
    id: TEMPLATE_IDS[template.family],
    fields: [...fields, DIRECTION_FIELD, ...fields.flatMap((field) => reverse(field, profile))],
    hasReverse: true,
  }));
  return [...uniflows, ...biflows];
}

function reverse(
  { element, type, octets, encoding }: TemplateField,
  profile: TemplateOptions['profile'],
): TemplateField[] {
  const row = FLOW_FIELDS.find((row) => row.element === element);
  if (row?.reverse === undefined || (row.reverse !== 'all' && row.reverse !== profile)) return [];
  return [{ element, type, enterprise: REVERSE_ENTERPRISE, octets, encoding: ofReverse(encoding) }];
}

function ofReverse(encoding: FieldEncoding): FieldEncoding {
  if (!('offset' in encoding)) throw new RangeError(`${encoding.kind} cannot be read in reverse`);
  return { ...encoding, offset: encoding.offset + BIFLOW_ENTRY.reverse };
}
