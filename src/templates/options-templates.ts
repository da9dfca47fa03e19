// The one table of what the exporting process tells of itself and of the metering process: one row
// an options template. src/exporter/options/options-records.ts fills the records, by the names of the values.
import { VARIABLE_LENGTH } from './flow-fields.js';
import type { ElementName } from './flow-fields.js';
import { INFORMATION_ELEMENTS } from './information-elements.gen.js';

/** What a user can have or leave. */
export const OPTIONS_KINDS = new Set([
  'interfaces',
  'sampling',
  'statistics',
  'reliability',
  'flow-keys',
  'types',
] as const);
export type OptionsKind = typeof OPTIONS_KINDS extends ReadonlySet<infer Kind> ? Kind : never;

/** Names of the values of a record, as its row in the table has them. */
export type OptionsValueName =
  | 'domain'
  | 'exporter'
  | 'interface'
  | 'name'
  | 'description'
  | 'selector'
  | 'algorithm'
  | 'interval'
  | 'space'
  | 'probability'
  | 'messages'
  | 'records'
  | 'packets'
  | 'octets'
  | 'first'
  | 'last'
  | 'template'
  | 'flowKeys'
  | 'enterprise'
  | 'number'
  | 'dataType'
  | 'semantics'
  | 'units'
  | 'application';

/** How a value is written. */
export type OptionsEncoding = 'unsigned' | 'float' | 'string' | 'octets';

export interface OptionsField {
  /** Element number in IPFIX; field type, or type of scope, in v9. */
  readonly type: number;
  /** Octets, or VARIABLE_LENGTH. */
  readonly octets: number;
  readonly value: OptionsValueName;
  readonly encoding: OptionsEncoding;
}

export interface OptionsTemplate {
  readonly id: number;
  readonly name: OptionsTemplateName;
  /** What the record is about. */
  readonly scope: readonly OptionsField[];
  readonly fields: readonly OptionsField[];
}

interface FieldRow {
  readonly element: ElementName;
  readonly value: OptionsValueName;
  /** Length in both formats: octets, or VARIABLE_LENGTH. */
  readonly octets: number;
}

/** RFC 3954 §6.1: the things that a scope of v9 can be. A system is told by its source id. */
const NETFLOW9_SCOPES = {
  system: { type: 1, octets: 4, value: 'domain', encoding: 'unsigned' },
  interface: { type: 2, octets: 4, value: 'interface', encoding: 'unsigned' },
} as const satisfies Readonly<Record<string, OptionsField>>;

const ENCODINGS: Readonly<Partial<Record<string, OptionsEncoding>>> = {
  float64: 'float',
  string: 'string',
  octetArray: 'octets',
};

interface TemplateRow {
  readonly id: number;
  readonly kind: OptionsKind | 'application-names';
  readonly scope: readonly FieldRow[];
  /** v9 has one scope field; undefined: v9 does not have the template. */
  readonly netflow9Scope?: keyof typeof NETFLOW9_SCOPES;
  readonly fields: readonly FieldRow[];
}

function field(element: ElementName, value: OptionsValueName, octets: number): FieldRow {
  return { element, value, octets };
}

/** With its NUL a name of Linux has 16 octets; an alias may be longer and is cut. */
const INTERFACE_NAME_OCTETS = 16;
const INTERFACE_DESCRIPTION_OCTETS = 64;
export const APPLICATION_ID_OCTETS = 9;
export const APPLICATION_NAME_OCTETS = 32;
const DOMAIN = field('observationDomainId', 'domain', 4);
const EXPORTER = field('exportingProcessId', 'exporter', 4);
const INTERFACE = field('ingressInterface', 'interface', 4);
const SELECTOR = field('selectorId', 'selector', 8);
const INTERVAL = field('samplingInterval', 'interval', 4);
const IGNORED = [
  field('ignoredPacketTotalCount', 'packets', 8),
  field('ignoredOctetTotalCount', 'octets', 8),
] as const;
const NOT_SENT = [
  field('notSentFlowTotalCount', 'records', 8),
  field('notSentPacketTotalCount', 'packets', 8),
  field('notSentOctetTotalCount', 'octets', 8),
] as const;
/**
 * Twice the same element, as RFC 7011 §4.2 has it: "the range between the two values". No other
 * template has one twice: logstash's codec fails over it, and over the rest of the message.
 */
const BETWEEN = [
  field('observationTimeMilliseconds', 'first', 8),
  field('observationTimeMilliseconds', 'last', 8),
] as const;

/*
 * Ids are the same in both formats; those of flows lie below. The forms are those that nfdump 1.7.1
 * reads, where it reads any (docs/adr/0012-options-records.md):
 *  - Interface names come from elements 10 and 83, 10 not being a scope, and nothing else in the
 *    record. `interfaces` is how everybody else has them; without 83, which alone makes nfdump take
 *    it for a list of names, that it reads wrongly and complains of.
 *  - Sampling comes from 34 alone; nfdump 1.7.8 and others want 34 and 35.
 *  - What it does not read it skips. Lengths are fixed where it reads.
 * Losses without a time are for as long as there is none: a time of zero would be a wrong one.
 */
const ROWS = {
  interfaces: {
    id: 260,
    kind: 'interfaces',
    scope: [INTERFACE],
    netflow9Scope: 'interface',
    fields: [field('interfaceName', 'name', INTERFACE_NAME_OCTETS)],
  },
  interfacesForNfdump: {
    id: 261,
    kind: 'interfaces',
    scope: [DOMAIN],
    netflow9Scope: 'system',
    fields: [INTERFACE, field('interfaceDescription', 'description', INTERFACE_DESCRIPTION_OCTETS)],
  },
  samplingForNfdump: {
    id: 262,
    kind: 'sampling',
    scope: [DOMAIN],
    netflow9Scope: 'system',
    fields: [INTERVAL],
  },
  sampling: {
    id: 263,
    kind: 'sampling',
    scope: [DOMAIN],
    netflow9Scope: 'system',
    fields: [INTERVAL, field('samplingAlgorithm', 'algorithm', 1)],
  },
  // RFC 5476 §6.5.2: how to interpret what a selector, packet sampling here, leaves
  countSelector: {
    id: 264,
    kind: 'sampling',
    scope: [SELECTOR],
    fields: [
      field('selectorAlgorithm', 'algorithm', 2),
      field('samplingPacketInterval', 'interval', 4),
      field('samplingPacketSpace', 'space', 4),
    ],
  },
  randomSelector: {
    id: 265,
    kind: 'sampling',
    scope: [SELECTOR],
    fields: [
      field('selectorAlgorithm', 'algorithm', 2),
      field('samplingProbability', 'probability', 8),
    ],
  },
  // The same for the selection of flows, with the element of RFC 7014
  flowSelector: {
    id: 266,
    kind: 'sampling',
    scope: [SELECTOR],
    fields: [
      field('flowSelectorAlgorithm', 'algorithm', 2),
      field('samplingProbability', 'probability', 8),
    ],
  },
  // RFC 7011 §4.1
  meteringStatistics: {
    id: 267,
    kind: 'statistics',
    scope: [DOMAIN],
    netflow9Scope: 'system',
    fields: [
      field('exportedMessageTotalCount', 'messages', 8),
      field('exportedFlowRecordTotalCount', 'records', 8),
      field('exportedOctetTotalCount', 'octets', 8),
    ],
  },
  // RFC 7011 §4.2
  meteringReliability: {
    id: 268,
    kind: 'reliability',
    scope: [DOMAIN],
    netflow9Scope: 'system',
    fields: IGNORED,
  },
  meteringLosses: {
    id: 269,
    kind: 'reliability',
    scope: [DOMAIN],
    fields: [...IGNORED, ...BETWEEN],
  },
  // RFC 7011 §4.3
  exportingReliability: {
    id: 270,
    kind: 'reliability',
    scope: [EXPORTER],
    netflow9Scope: 'system',
    fields: NOT_SENT,
  },
  exportingLosses: {
    id: 271,
    kind: 'reliability',
    scope: [EXPORTER],
    fields: [...NOT_SENT, ...BETWEEN],
  },
  // RFC 7011 §4.4
  flowKeys: {
    id: 272,
    kind: 'flow-keys',
    scope: [field('templateId', 'template', 2)],
    fields: [field('flowKeyIndicator', 'flowKeys', 8)],
  },
  // RFC 5610 §3.9
  elementTypes: {
    id: 273,
    kind: 'types',
    scope: [
      field('privateEnterpriseNumber', 'enterprise', 4),
      field('informationElementId', 'number', 2),
    ],
    fields: [
      field('informationElementDataType', 'dataType', 1),
      field('informationElementSemantics', 'semantics', 1),
      field('informationElementUnits', 'units', 2),
      field('informationElementName', 'name', VARIABLE_LENGTH),
    ],
  },
  // RFC 6759, in the lengths that nfdump reads
  applicationNames: {
    id: 274,
    kind: 'application-names',
    scope: [EXPORTER],
    fields: [
      field('applicationId', 'application', APPLICATION_ID_OCTETS),
      // Without applicationDescription, which nfdump would print behind the name.
      field('applicationName', 'name', APPLICATION_NAME_OCTETS),
    ],
  },
} as const satisfies Readonly<Record<string, TemplateRow>>;

export type OptionsTemplateName = keyof typeof ROWS;

/** Names of the options templates of these kinds. */
export function optionsTemplateNames(kinds: ReadonlySet<string>): readonly OptionsTemplateName[] {
  const names = Object.keys(ROWS) as OptionsTemplateName[];
  return names.filter((name) => kinds.has(ROWS[name].kind));
}

/** The template in that format; undefined where the format does not have it. */
export function optionsTemplate(
  version: 9 | 10,
  name: OptionsTemplateName,
): OptionsTemplate | undefined {
  const row: TemplateRow = ROWS[name];
  const fields = row.fields.map(optionsField);
  if (version === 10) return { id: row.id, name, scope: row.scope.map(optionsField), fields };
  if (row.netflow9Scope === undefined) return undefined;
  return { id: row.id, name, scope: [NETFLOW9_SCOPES[row.netflow9Scope]], fields };
}

function optionsField({ element, value, octets }: FieldRow): OptionsField {
  const { id, dataType } = INFORMATION_ELEMENTS[element];
  return { type: id, octets, value, encoding: ENCODINGS[dataType] ?? 'unsigned' };
}
