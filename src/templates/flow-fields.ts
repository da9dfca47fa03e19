// The one table of what an exported flow consists of. Templates, the record plans that encode by
// them and the tests all read it: to export one more field, add one row.
import { FLOW_RECORD, PROCESS_OWNER } from '../flow/flow-contract.gen.js';
import type { FlowSide } from '../flow/flow-record.js';
import type { INFORMATION_ELEMENTS } from './information-elements.gen.js';
import type { ProcessTextFormat } from './process-text-format.js';

export type ElementName = keyof typeof INFORMATION_ELEMENTS;
export type AddressFamily = 'ipv4' | 'ipv6';

/**
 * Which elements are exported. `standard` is for collectors that drop a whole template over one
 * element they do not know, as logstash's codec does: it leaves out those of other enterprises,
 * and in v9 those that came with IPFIX. `full` adds to `process` what makes records long.
 */
export type TemplateProfile = 'process' | 'full' | 'standard';

/** How finely IPFIX tells the times of a flow. */
export type TimePrecision = 'milliseconds' | 'microseconds' | 'nanoseconds';

/** Field length that says "variable" in a template (RFC 7011 §7). */
export const VARIABLE_LENGTH = 65535;
/** Length of a field that a format does not have. */
export const ABSENT = 0;

/** How a field's octets come out of a flow record. Offsets are from the record's start. */
export type FieldEncoding =
  /** The octets as they stand: network order, or single octets. */
  | { readonly kind: 'copy'; readonly offset: number; readonly octets: number }
  /** A little-endian integer, to network order. */
  | { readonly kind: 'swap'; readonly offset: number; readonly octets: number }
  /** A kernel time as milliseconds since 1970. */
  | { readonly kind: 'epoch'; readonly offset: number }
  /** A kernel time in the format of NTP, cut to that precision (RFC 7011 §6.1.9 and §6.1.10). */
  | {
      readonly kind: 'ntp';
      readonly offset: number;
      readonly precision: 'microseconds' | 'nanoseconds';
    }
  /** A kernel time as milliseconds of the exporter's uptime. */
  | { readonly kind: 'uptime'; readonly offset: number }
  /** The interface that the flow came in or went out by, 0 where it did not. */
  | { readonly kind: 'interface'; readonly way: 'ingress' | 'egress' }
  /** What the exporter does not know. */
  | { readonly kind: 'zero' }
  /** fragmentFlags from the flow's own flags. */
  | { readonly kind: 'fragmentFlags' }
  /** dataRecordsReliability: false where the process was inferred. */
  | { readonly kind: 'reliability' }
  /** Process id of the parent, 0 where it is not known. */
  | { readonly kind: 'parentProcessId'; readonly owner: FlowSide }
  /** User id, 2^32 - 1 (Linux' "no user") where there is no process: 0 would be root. */
  | { readonly kind: 'userId'; readonly owner: FlowSide }
  /** Text about the process. */
  | TextEncoding
  /** The id of the application that has this text for its name. */
  | { readonly kind: 'applicationId'; readonly name: TextEncoding };

export type TextEncoding = ProcessTextEncoding | FormattedTextEncoding;

export interface ProcessTextEncoding {
  readonly kind: 'processText';
  readonly text: ProcessText;
  readonly owner: ProcessSide;
}

/** Text about the process on this host, in the user's own words. */
export interface FormattedTextEncoding {
  readonly kind: 'formattedText';
  /** Where there is no process: a word for why as name, nothing as user. */
  readonly text: FormattedText;
  readonly format: ProcessTextFormat;
}

export type FormattedText = 'name' | 'user';

export type ProcessText =
  /** Name of the process; on this host, where there is none, a word for why. */
  | 'processName'
  /** Login name of the user, empty without a process. */
  | 'userName'
  /** What the process directory knows, empty where it does not. */
  | 'parentName'
  | 'commandLine'
  | 'containerId';

/** `local`: the process on this host; the sending one where both are (loopback). */
export type ProcessSide = FlowSide | 'local';

export interface FlowField {
  readonly element: ElementName;
  readonly encoding: FieldEncoding;
  /** Length in an IPFIX template: octets, VARIABLE_LENGTH or ABSENT. */
  readonly ipfixOctets: number;
  /** Length in a NetFlow v9 template: octets or ABSENT. */
  readonly netflow9Octets: number;
  readonly families: AddressFamily | 'both';
  /** Where the field is in one profile only. */
  readonly profile: TemplateProfile | 'all';
  /** Where the field is there with one precision of times only. */
  readonly precision?: TimePrecision;
  /** Where a format of the user's takes the place of the text. */
  readonly format?: FormattedText;
  /** Where a biflow has the field for its reverse direction too: in one profile, or in all. */
  readonly reverse?: TemplateProfile | 'all';
  /** Where the field is there on request only: TemplateOptions.hasApplicationId. */
  readonly isOnRequest?: true;
}

type RecordField = keyof typeof FLOW_RECORD.fields;

function copy(field: RecordField, octets: number = FLOW_RECORD.fields[field].size): FieldEncoding {
  return { kind: 'copy', offset: FLOW_RECORD.fields[field].offset, octets };
}

function swap(field: RecordField): FieldEncoding {
  const { offset, size } = FLOW_RECORD.fields[field];
  return { kind: 'swap', offset, octets: size };
}

function time(kind: 'epoch' | 'uptime', field: 'first_ns' | 'last_ns'): FieldEncoding {
  return { kind, offset: FLOW_RECORD.fields[field].offset };
}

/** The rows of one precision. */
function timeFields(
  precision: 'microseconds' | 'nanoseconds',
  names: readonly [ElementName, ElementName],
): FlowField[] {
  return (['first_ns', 'last_ns'] as const).map((member, i) => {
    const { offset } = FLOW_RECORD.fields[member];
    const encoding = { kind: 'ntp', offset, precision } as const;
    return mirrored({ ...field(names[i] ?? names[0], encoding, 8, ABSENT), precision }, 'full');
  });
}

function processId(side: FlowSide): FieldEncoding {
  const { offset, size } = PROCESS_OWNER.fields.pid;
  return { kind: 'swap', offset: FLOW_RECORD.fields[side].offset + offset, octets: size };
}

function parent(owner: FlowSide): FieldEncoding {
  return { kind: 'parentProcessId', owner };
}

function text(text: ProcessText, owner: ProcessSide): ProcessTextEncoding {
  return { kind: 'processText', text, owner };
}

function field(
  element: ElementName,
  encoding: FieldEncoding,
  ipfixOctets: number,
  netflow9Octets: number,
  families: FlowField['families'] = 'both',
  profile: FlowField['profile'] = 'all',
): FlowField {
  return { element, encoding, ipfixOctets, netflow9Octets, families, profile };
}

function mirrored(row: FlowField, reverse: TemplateProfile | 'all'): FlowField {
  return { ...row, reverse };
}

const INGRESS_INTERFACE = { kind: 'interface', way: 'ingress' } as const;
const EGRESS_INTERFACE = { kind: 'interface', way: 'egress' } as const;

/*
 * The forms are those that every nfdump from 1.6 on reads, where formats leave a choice:
 *  - Counters have 8 octets, the times of v9 are 21/22 and those of IPFIX 152/153.
 *  - tcpControlBits has one octet, which RFC 7125 §3 allows: two are read as 0 by some. The low
 *    octet is the first of a little-endian number.
 *  - ICMPv6 goes by icmpTypeCodeIPv4 in v9, which knows no other.
 *  - ICMP's elements stand before the ports: nfdump 1.7.1 puts icmpTypeCode where it keeps the
 *    destination port, whatever the protocol, and would show 0 for SCTP.
 *  - The process name in netflow9UserName has exactly 20 octets, 65 in a longer format of the user's:
 *    nfdump takes 20 or 65 only.
 *  - applicationName and userName stand in for ntop's elements in the standard profile.
 *  - applicationId has 9 octets: nfdump shows a name for no other length.
 *  - Names in v9 have fixed lengths: 16 hold any process name with a NUL behind it, 32 the login
 *    names that useradd accepts.
 *  - A container id has 64 digits; 65 octets leave the NUL its place.
 *  - dot1qVlanId (243) would say the same as vlanId (58), which more collectors know. The inner
 *    tag of QinQ has no older element than dot1qCustomerVlanId (245).
 *  - Of the reverse elements of a biflow only the counters are in all profiles: nfdump 1.7 takes any
 *    other for the forward field.
 * Elements that stand side by side in the flow record are side by side here where that can be:
 * the record plan then copies them in one go.
 */
export const FLOW_FIELDS: readonly FlowField[] = [
  {
    ...field('flowStartMilliseconds', time('epoch', 'first_ns'), 8, ABSENT),
    precision: 'milliseconds',
    reverse: 'full',
  },
  {
    ...field('flowEndMilliseconds', time('epoch', 'last_ns'), 8, ABSENT),
    precision: 'milliseconds',
    reverse: 'full',
  },
  ...timeFields('microseconds', ['flowStartMicroseconds', 'flowEndMicroseconds']),
  ...timeFields('nanoseconds', ['flowStartNanoseconds', 'flowEndNanoseconds']),
  field('flowStartSysUpTime', time('uptime', 'first_ns'), ABSENT, 4),
  field('flowEndSysUpTime', time('uptime', 'last_ns'), ABSENT, 4),
  mirrored(field('packetDeltaCount', swap('packets'), 8, 8), 'all'),
  mirrored(field('octetDeltaCount', swap('octets'), 8, 8), 'all'),
  field('sourceIPv4Address', copy('source_address', 4), 4, 4, 'ipv4'),
  field('destinationIPv4Address', copy('destination_address', 4), 4, 4, 'ipv4'),
  field('sourceIPv6Address', copy('source_address'), 16, 16, 'ipv6'),
  field('destinationIPv6Address', copy('destination_address'), 16, 16, 'ipv6'),
  field('icmpTypeCodeIPv4', copy('icmp_type_code'), 2, 2, 'ipv4'),
  field('icmpTypeCodeIPv4', copy('icmp_type_code'), ABSENT, 2, 'ipv6'),
  field('icmpTypeCodeIPv6', copy('icmp_type_code'), 2, ABSENT, 'ipv6'),
  field('sourceTransportPort', copy('source_port'), 2, 2),
  field('destinationTransportPort', copy('destination_port'), 2, 2),
  field('ipVersion', copy('ip_version'), 1, 1),
  field('protocolIdentifier', copy('protocol'), 1, 1),
  field('flowDirection', copy('direction'), 1, 1),
  mirrored(field('ipClassOfService', copy('tos'), 1, 1), 'full'),
  mirrored(field('flowEndReason', copy('end_reason'), 1, 1), 'full'),
  mirrored(field('tcpControlBits', copy('tcp_flags', 1), 1, 1), 'full'),
  field('ingressInterface', INGRESS_INTERFACE, 4, 4),
  field('egressInterface', EGRESS_INTERFACE, 4, 4),
  mirrored(field('minimumIpTotalLength', swap('min_length'), 2, 2), 'full'),
  mirrored(field('maximumIpTotalLength', swap('max_length'), 2, 2), 'full'),
  field('vlanId', swap('vlan_id'), 2, 2),
  field('dot1qCustomerVlanId', swap('inner_vlan_id'), 2, 2),
  mirrored(field('minimumTTL', copy('min_ttl'), 1, 1), 'full'),
  mirrored(field('maximumTTL', copy('max_ttl'), 1, 1), 'full'),
  field('sourceMacAddress', copy('source_mac'), 6, 6),
  field('destinationMacAddress', copy('destination_mac'), 6, 6),
  field('fragmentFlags', { kind: 'fragmentFlags' }, 1, 1),
  field('dataRecordsReliability', { kind: 'reliability' }, 1, ABSENT),
  { ...field('netflow9UserName', text('processName', 'local'), ABSENT, 20), format: 'name' },
  {
    ...field('applicationName', text('processName', 'local'), VARIABLE_LENGTH, ABSENT),
    profile: 'standard',
    format: 'name',
  },
  {
    ...field('userName', text('userName', 'local'), VARIABLE_LENGTH, ABSENT),
    profile: 'standard',
    format: 'user',
  },
  {
    ...field(
      'applicationId',
      { kind: 'applicationId', name: text('processName', 'local') },
      9,
      ABSENT,
    ),
    format: 'name',
    isOnRequest: true,
  },
  field('srcProcessId', processId('source'), 4, 4),
  field('srcProcessName', text('processName', 'source'), VARIABLE_LENGTH, 16),
  field('srcProcessUserId', { kind: 'userId', owner: 'source' }, 4, 4),
  field('srcProcessUserName', text('userName', 'source'), VARIABLE_LENGTH, 32),
  field('dstProcessId', processId('destination'), 4, 4),
  field('dstProcessName', text('processName', 'destination'), VARIABLE_LENGTH, 16),
  field('dstProcessUserId', { kind: 'userId', owner: 'destination' }, 4, 4),
  field('dstProcessUserName', text('userName', 'destination'), VARIABLE_LENGTH, 32),
  field('srcParentProcessId', parent('source'), 4, 4, 'both', 'full'),
  field('srcParentProcessName', text('parentName', 'source'), VARIABLE_LENGTH, 16, 'both', 'full'),
  field(
    'srcProcessCommandLine',
    text('commandLine', 'source'),
    VARIABLE_LENGTH,
    128,
    'both',
    'full',
  ),
  field(
    'srcProcessContainerId',
    text('containerId', 'source'),
    VARIABLE_LENGTH,
    65,
    'both',
    'full',
  ),
  field('dstParentProcessId', parent('destination'), 4, 4, 'both', 'full'),
  field(
    'dstParentProcessName',
    text('parentName', 'destination'),
    VARIABLE_LENGTH,
    16,
    'both',
    'full',
  ),
  field(
    'dstProcessCommandLine',
    text('commandLine', 'destination'),
    VARIABLE_LENGTH,
    128,
    'both',
    'full',
  ),
  field(
    'dstProcessContainerId',
    text('containerId', 'destination'),
    VARIABLE_LENGTH,
    65,
    'both',
    'full',
  ),
];
