// Templates of flow records: which rows of the flow-fields table a format and an address family
// have, and under which numbers.
import { withBiflows } from './biflow-templates.js';
import { NETFLOW1_FIELDS, NETFLOW5_FIELDS, type FixedField } from './fixed-fields.js';
import { ABSENT, FLOW_FIELDS } from './flow-fields.js';
import type {
  AddressFamily,
  ElementName,
  FieldEncoding,
  FlowField,
  FormattedText,
  TemplateProfile,
  TimePrecision,
} from './flow-fields.js';
import { INFORMATION_ELEMENTS } from './information-elements.gen.js';
import {
  netflow9NameOctets,
  parseProcessTextFormat,
  type ProcessTextFormat,
} from './process-text-format.js';

/** The number in the first two octets of each message: NetFlow v1, v5, v9, or IPFIX. */
export type ExportVersion = 1 | 5 | 9 | 10;

export interface TemplateField {
  readonly element: ElementName;
  /** Element number in IPFIX, field type in v9. */
  readonly type: number;
  /** 0: IANA's. Always 0 in v9, which has no enterprises. */
  readonly enterprise: number;
  /** Length in the template: octets, or VARIABLE_LENGTH. */
  readonly octets: number;
  readonly encoding: FieldEncoding;
}

export interface Template {
  /** 0 in v1 and v5, which have no templates. */
  readonly id: number;
  readonly version: ExportVersion;
  readonly family: AddressFamily;
  readonly fields: readonly TemplateField[];
  /** Of biflows: both directions of a connection. */
  readonly hasReverse: boolean;
}

export interface TemplateOptions {
  /** A name, or elements of the user's choice in the order of their fields. */
  readonly profile: TemplateProfile | readonly ElementName[];
  /** For the profiles of IPFIX; in a list it is said by the elements. */
  readonly timePrecision: TimePrecision;
  /** For netflow9UserName, applicationName and the name behind applicationId. */
  readonly nameFormat: ProcessTextFormat;
  /** For userName. */
  readonly userFormat: ProcessTextFormat;
  /** Templates for both directions of a connection in one record. IPFIX only. */
  readonly isBiflow: boolean;
  /** Adds applicationId to IPFIX, also to a list. */
  readonly hasApplicationId: boolean;
}

export const DEFAULT_TEMPLATE_OPTIONS: TemplateOptions = {
  profile: 'process',
  timePrecision: 'milliseconds',
  nameFormat: parseProcessTextFormat('{comm}'),
  userFormat: parseProcessTextFormat('{user}'),
  isBiflow: false,
  hasApplicationId: false,
};

/** From 256 on (RFC 7011 §3.4.1); the same in both formats. */
const TEMPLATE_IDS = { ipv4: 256, ipv6: 257 } as const satisfies Record<AddressFamily, number>;

const NTOP_ENTERPRISE = 35632;
/** Where ntop's elements begin in the one number space that v9 has. */
const NTOP_NETFLOW9_TYPES = 57472;

/** Not among the field types of v9 that logstash's codec knows. */
const NEWER_THAN_NETFLOW9: ReadonlySet<ElementName> = new Set([
  'fragmentFlags',
  'dot1qCustomerVlanId',
] as const);

/**
 * One for each address family that the format has, if any of the elements is there in it; with biflows
 * another one for them.
 */
export function flowTemplates(
  version: ExportVersion,
  options: Partial<TemplateOptions> = {},
): Template[] {
  if (version === 1) return [fixedTemplate(version, NETFLOW1_FIELDS)];
  if (version === 5) return [fixedTemplate(version, NETFLOW5_FIELDS)];
  const families = ['ipv4', 'ipv6'] as const;
  const templates = families.map((family) => flowTemplate(version, family, options));
  const used = templates.filter(({ fields }) => fields.length > 0);
  const { isBiflow, profile } = { ...DEFAULT_TEMPLATE_OPTIONS, ...options };
  return isBiflow && version === 10 ? withBiflows(used, profile) : used;
}

/** Of flows, without what biflows add. */
export function flowTemplate(
  version: 9 | 10,
  family: AddressFamily,
  options: Partial<TemplateOptions> = {},
): Template {
  const settings = { ...DEFAULT_TEMPLATE_OPTIONS, ...options };
  const { profile, timePrecision, hasApplicationId } = settings;
  const inFormat = FLOW_FIELDS.filter(
    (row) =>
      fieldOctets(row, version) !== ABSENT &&
      (row.isOnRequest === undefined || hasApplicationId) &&
      (row.families === 'both' || row.families === family),
  );
  const rows =
    typeof profile === 'string'
      ? inFormat.filter((row) => isInProfile(row, version, profile, timePrecision))
      : [...profile, ...(hasApplicationId ? ['applicationId'] : [])].flatMap((element) =>
          inFormat.filter((row) => row.element === element),
        );
  const fields = rows.map((row) => ({
    element: row.element,
    ...fieldNumber(row.element, version),
    octets: fieldOctets(row, version),
    encoding: row.encoding,
    ...(row.format !== undefined && formattedField(row, version, row.format, settings)),
  }));
  return { id: TEMPLATE_IDS[family], version, family, fields, hasReverse: false };
}

function fieldOctets(row: FlowField, version: 9 | 10): number {
  return version === 9 ? row.netflow9Octets : row.ipfixOctets;
}

/** What the user's format makes of the field. */
function formattedField(
  row: FlowField,
  version: 9 | 10,
  text: FormattedText,
  { nameFormat, userFormat }: Pick<TemplateOptions, 'nameFormat' | 'userFormat'>,
): Partial<TemplateField> {
  const format = text === 'name' ? nameFormat : userFormat;
  const { nameFormat: comm, userFormat: user } = DEFAULT_TEMPLATE_OPTIONS;
  // The row's own encoding does the same without putting parts together.
  if (format.text === (text === 'name' ? comm : user).text) return {};
  const encoding = { kind: 'formattedText', text, format } as const;
  if (row.encoding.kind === 'applicationId') {
    return { encoding: { kind: 'applicationId', name: encoding } };
  }
  return version === 9 ? { encoding, octets: netflow9NameOctets(format) } : { encoding };
}

function isInProfile(
  row: FlowField,
  version: 9 | 10,
  profile: TemplateProfile,
  timePrecision: TimePrecision,
): boolean {
  if (row.precision !== undefined && row.precision !== timePrecision) return false;
  if (row.profile !== 'all' && row.profile !== profile) return false;
  if (profile !== 'standard') return true;
  const { enterprise } = INFORMATION_ELEMENTS[row.element];
  return enterprise !== NTOP_ENTERPRISE && (version !== 9 || !NEWER_THAN_NETFLOW9.has(row.element));
}

function fieldNumber(
  element: ElementName,
  version: 9 | 10,
): Pick<TemplateField, 'type' | 'enterprise'> {
  const { id, enterprise } = INFORMATION_ELEMENTS[element];
  if (version === 10) return { type: id, enterprise };
  return { type: enterprise === NTOP_ENTERPRISE ? NTOP_NETFLOW9_TYPES + id : id, enterprise: 0 };
}

function fixedTemplate(version: 1 | 5, fixed: readonly FixedField[]): Template {
  const fields = fixed.map((row) => ({
    ...row,
    type: INFORMATION_ELEMENTS[row.element].id,
    enterprise: 0,
  }));
  return { id: 0, version, family: 'ipv4', fields, hasReverse: false };
}
