// Templates of flow records: which rows of the flow-fields table a format and an address family
// have, and under which numbers.
import { ABSENT, FLOW_FIELDS } from './flow-fields.js';
import type { AddressFamily, ElementName, FieldEncoding, TemplateProfile } from './flow-fields.js';
import { INFORMATION_ELEMENTS } from './information-elements.gen.js';

/** The number in the first two octets of each message: NetFlow v9, or IPFIX. */
export type ExportVersion = 9 | 10;

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
  readonly id: number;
  readonly version: ExportVersion;
  readonly family: AddressFamily;
  readonly fields: readonly TemplateField[];
}

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

export function flowTemplate(
  version: ExportVersion,
  family: AddressFamily,
  profile: TemplateProfile = 'process',
): Template {
  const fields: TemplateField[] = [];
  for (const row of FLOW_FIELDS) {
    const octets = version === 9 ? row.netflow9Octets : row.ipfixOctets;
    if (octets === ABSENT || (row.families !== 'both' && row.families !== family)) continue;
    const { id, enterprise } = INFORMATION_ELEMENTS[row.element];
    if (row.profile !== 'all' && row.profile !== profile) continue;
    const isStandard =
      enterprise !== NTOP_ENTERPRISE && (version !== 9 || !NEWER_THAN_NETFLOW9.has(row.element));
    if (profile === 'standard' && !isStandard) continue;
    const number =
      version === 9
        ? { type: netflow9Type(id, enterprise), enterprise: 0 }
        : { type: id, enterprise };
    fields.push({ element: row.element, ...number, octets, encoding: row.encoding });
  }
  return { id: TEMPLATE_IDS[family], version, family, fields };
}

function netflow9Type(id: number, enterprise: number): number {
  return enterprise === NTOP_ENTERPRISE ? NTOP_NETFLOW9_TYPES + id : id;
}
