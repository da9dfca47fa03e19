// Which lengths RFC 7011 allows for an element in a template: by its data type (§6.1) and where it may be
// reduced (§6.2).
import { INFORMATION_ELEMENTS } from '../../src/templates/information-elements.gen.js';
import type { FieldSpecifier } from './decoder/decoded-message.js';

interface Element {
  readonly name: string;
  readonly dataType: string;
}

const REVERSE_ENTERPRISE = 29305;
const INTEGERS: Readonly<Record<string, number>> = {
  unsigned8: 1,
  unsigned16: 2,
  unsigned32: 4,
  unsigned64: 8,
  signed8: 1,
  signed16: 2,
  signed32: 4,
  signed64: 8,
};
const OTHERS: Readonly<Record<string, readonly number[]>> = {
  boolean: [1],
  float32: [4],
  float64: [8, 4],
  macAddress: [6],
  ipv4Address: [4],
  ipv6Address: [16],
  dateTimeSeconds: [4],
  dateTimeMilliseconds: [8],
  dateTimeMicroseconds: [8],
  dateTimeNanoseconds: [8],
};

const BY_KEY = new Map<string, Element>(
  Object.entries(INFORMATION_ELEMENTS).map(([name, { id, enterprise, dataType }]) => [
    `${enterprise}/${id}`,
    { name, dataType },
  ]),
);

/** @throws for an element that is in no registry */
export function elementOf({ key, enterprise, element }: FieldSpecifier): Element {
  const found = BY_KEY.get(enterprise === REVERSE_ENTERPRISE ? `0/${element}` : key);
  if (found === undefined) throw new Error(`${key} is in no registry`);
  return found;
}

export function isAllowedLength(dataType: string, { octets, isVariable }: FieldSpecifier): boolean {
  if (dataType === 'string' || dataType === 'octetArray') return isVariable || octets > 0;
  const longest = INTEGERS[dataType];
  if (longest !== undefined) return octets >= 1 && octets <= longest;
  const lengths = OTHERS[dataType];
  if (lengths === undefined) throw new Error(`no such data type: ${dataType}`);
  return lengths.includes(octets);
}
