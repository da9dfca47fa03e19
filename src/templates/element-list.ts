// The user's own list of elements, in the place of a profile: checked against the table of fields.
import { ABSENT, FLOW_FIELDS, type ElementName } from './flow-fields.js';
import type { ExportVersion } from './flow-template.js';
import { INFORMATION_ELEMENTS } from './information-elements.gen.js';
import { TemplateError } from './template-error.js';

const FORMAT_NAMES = { 1: 'NetFlow v1', 5: 'NetFlow v5', 9: 'NetFlow v9', 10: 'IPFIX' } as const;

/** What says the same in the other format, where it is another element. */
const INSTEAD: Readonly<Record<9 | 10, Readonly<Partial<Record<ElementName, ElementName>>>>> = {
  9: {
    flowStartMilliseconds: 'flowStartSysUpTime',
    flowEndMilliseconds: 'flowEndSysUpTime',
    flowStartMicroseconds: 'flowStartSysUpTime',
    flowEndMicroseconds: 'flowEndSysUpTime',
    flowStartNanoseconds: 'flowStartSysUpTime',
    flowEndNanoseconds: 'flowEndSysUpTime',
    icmpTypeCodeIPv6: 'icmpTypeCodeIPv4',
    applicationName: 'netflow9UserName',
    userName: 'srcProcessUserName',
  },
  10: {
    flowStartSysUpTime: 'flowStartMilliseconds',
    flowEndSysUpTime: 'flowEndMilliseconds',
    netflow9UserName: 'applicationName',
  },
};
/** Names so unlike what was written are no help. */
const MAX_TYPING_ERRORS = 4;
const MAX_SUGGESTIONS = 3;

/**
 * Names of elements as IANA and the table of fields spell them, separated by commas or white space;
 * their order is that of the fields.
 * @throws TemplateError
 */
export function parseElementList(text: string, version: ExportVersion): ElementName[] {
  if (version === 1 || version === 5) {
    const reason = `the records of ${FORMAT_NAMES[version]} are fixed`;
    throw badElements(version, reason, 'export NetFlow v9 or IPFIX, or give no list');
  }
  const names = text.split(/[\s,]+/).filter((name) => name !== '');
  if (names.length === 0) throw badElements(version, 'the list is empty', listOf(version));
  const elements: ElementName[] = [];
  for (const name of names) {
    const element = readElement(name, version);
    if (elements.includes(element)) {
      throw badElements(version, `${name} is there twice`, 'give each element once');
    }
    elements.push(element);
  }
  return elements;
}

/** The elements that a list for this format can have, in the order of the table. */
export function exportableElements(version: 9 | 10): ElementName[] {
  const rows = FLOW_FIELDS.filter(
    (row) =>
      (version === 9 ? row.netflow9Octets : row.ipfixOctets) !== ABSENT &&
      row.isOnRequest === undefined,
  );
  return [...new Set(rows.map(({ element }) => element))];
}

function readElement(name: string, version: 9 | 10): ElementName {
  const elements = exportableElements(version);
  const element = elements.find((known) => known === name);
  if (element !== undefined) return element;
  if (name === 'applicationId') {
    // An id means nothing without the records that name it.
    const reason = 'applicationId is not exported by a list';
    throw badElements(version, reason, 'ask for application names for nfdump, in IPFIX');
  }
  const other = version === 9 ? 10 : 9;
  const inOther = exportableElements(other).find((known) => known === name);
  if (inOther !== undefined) {
    const instead = INSTEAD[version][inOther];
    const advice = instead === undefined ? 'leave it out' : `give ${instead} instead`;
    throw badElements(version, `${name} is exported in ${FORMAT_NAMES[other]} only`, advice);
  }
  const reason = Object.hasOwn(INFORMATION_ELEMENTS, name)
    ? `${name} is not among the elements that are exported`
    : `there is no element ${name}`;
  const similar = similarNames(name, elements);
  throw badElements(
    version,
    reason,
    similar.length > 0 ? `did you mean ${similar.join(' or ')}?` : listOf(version),
  );
}

function listOf(version: 9 | 10): string {
  return `give any of ${exportableElements(version).join(' ')}`;
}

function badElements(version: ExportVersion, reason: string, advice: string): TemplateError {
  const operation = `read the list of elements for ${FORMAT_NAMES[version]}`;
  return new TemplateError('bad-elements', operation, reason, advice);
}

function similarNames(name: string, known: readonly ElementName[]): ElementName[] {
  const wanted = name.toLowerCase();
  return known
    .map((element) => ({ element, errors: typingErrors(wanted, element.toLowerCase()) }))
    .filter(({ errors }) => errors <= MAX_TYPING_ERRORS && errors * 2 < wanted.length)
    .sort((a, b) => a.errors - b.errors)
    .slice(0, MAX_SUGGESTIONS)
    .map(({ element }) => element);
}

/** Characters to add, leave out or change (Levenshtein). */
function typingErrors(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const change = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
