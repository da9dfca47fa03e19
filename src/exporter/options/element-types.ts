// What the enterprise elements of the flow templates are, so that a collector that does not know them
// can show them by name (RFC 5610).
import { REVERSE_ENTERPRISE } from '../../templates/biflow-templates.js';
import type { Template } from '../../templates/flow-template.js';
import { INFORMATION_ELEMENTS } from '../../templates/information-elements.gen.js';
import type { OptionsValues } from './options-record.js';

type Entry = (typeof INFORMATION_ELEMENTS)[keyof typeof INFORMATION_ELEMENTS];

/** IANA's registry "IPFIX Information Element Data Types". */
const DATA_TYPES: Readonly<Record<Entry['dataType'], number>> = {
  octetArray: 0,
  unsigned8: 1,
  unsigned16: 2,
  unsigned32: 3,
  unsigned64: 4,
  signed32: 7,
  float64: 10,
  boolean: 11,
  macAddress: 12,
  string: 13,
  dateTimeSeconds: 14,
  dateTimeMilliseconds: 15,
  dateTimeMicroseconds: 16,
  dateTimeNanoseconds: 17,
  ipv4Address: 18,
  ipv6Address: 19,
  basicList: 20,
  subTemplateList: 21,
  subTemplateMultiList: 22,
};
type Semantics = Extract<Entry, { semantics: string }>['semantics'];
/** "IPFIX Information Element Semantics". */
const SEMANTICS: Readonly<Record<Semantics, number>> = {
  default: 0,
  quantity: 1,
  totalCounter: 2,
  deltaCounter: 3,
  identifier: 4,
  flags: 5,
  list: 6,
  snmpCounter: 7,
  snmpGauge: 8,
};
type Units = Extract<Entry, { units: string }>['units'];
/** "IPFIX Information Element Units"; 0 is none. */
const UNITS: Readonly<Record<Units, number>> = {
  bits: 1,
  octets: 2,
  packets: 3,
  flows: 4,
  seconds: 5,
  milliseconds: 6,
  microseconds: 7,
  nanoseconds: 8,
  messages: 10,
  hops: 11,
  entries: 12,
  frames: 13,
};

/**
 * A record for each enterprise element, in the order of the templates; not for those that RFC 5103 makes
 * of IANA's, which collectors know by that rule.
 */
export function elementTypes(templates: readonly Template[]): readonly OptionsValues[] {
  const found = new Map<string, OptionsValues>();
  for (const { element, enterprise, type } of templates.flatMap(({ fields }) => fields)) {
    if (enterprise === 0 || enterprise === REVERSE_ENTERPRISE) continue;
    const entry: Entry = INFORMATION_ELEMENTS[element];
    found.set(`${enterprise}/${type}`, {
      enterprise,
      // Without the enterprise bit, as RFC 5610 §3.1 has it.
      number: type,
      dataType: DATA_TYPES[entry.dataType],
      semantics: 'semantics' in entry ? SEMANTICS[entry.semantics] : SEMANTICS.default,
      units: 'units' in entry ? UNITS[entry.units] : 0,
      name: element,
    });
  }
  return [...found.values()];
}
