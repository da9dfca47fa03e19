// contrib/ against the field table: each collector's file has every process element that is
// exported, under its number, type and length, and none that is not.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { VARIABLE_LENGTH } from '../../src/templates/flow-fields.js';
import { flowTemplate } from '../../src/templates/flow-template.js';
import {
  OPTIONS_KINDS,
  optionsTemplate,
  optionsTemplateNames,
} from '../../src/templates/options-templates.js';
import { INFORMATION_ELEMENTS } from '../../src/templates/information-elements.gen.js';
import { NFACCTD_CONTRIB, NFACCTD_PRIMITIVES } from '../support/nfacctd.js';
import { PROJECT_ROOT } from '../support/requirements.js';

type Version = 9 | 10;

/** What a collector has to be told of one field. */
interface Definition {
  readonly name: string;
  /** As pmacct writes it: "35632:168", or "57640" in v9. */
  readonly number: string;
  readonly isString: boolean;
  readonly octets: number;
}

const NTOP = 35632;
/** Not known to logstash's codec in v9, and not ntop's either. */
const NEWER_IN_NETFLOW9: readonly string[] = ['fragmentFlags', 'dot1qCustomerVlanId'];
/** Of options records in v9, what the codec knows. */
const KNOWN_IN_NETFLOW9_OPTIONS: readonly number[] = [10, 34, 35, 40, 41, 42, 82, 83];

function read(...path: readonly string[]): string {
  return readFileSync(join(PROJECT_ROOT, 'contrib', ...path), 'utf8');
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The fields of profile full that only some collectors know. */
function exported(version: Version): Definition[] {
  const fields = (['ipv4', 'ipv6'] as const).flatMap(
    (family) => flowTemplate(version, family, { profile: 'full' }).fields,
  );
  const byNumber = new Map<string, Definition>();
  for (const { element, type, enterprise, octets } of fields) {
    const { enterprise: registry, dataType } = INFORMATION_ELEMENTS[element];
    const isNewer = version === 9 && NEWER_IN_NETFLOW9.includes(element);
    if (registry !== NTOP && !isNewer) continue;
    const number = enterprise === 0 ? `${type}` : `${enterprise}:${type}`;
    byNumber.set(number, { name: element, number, isString: dataType === 'string', octets });
  }
  return [...byNumber.values()];
}

/** The codec has all elements of IPFIX options. */
function unknownInOptions(version: Version): Definition[] {
  if (version === 10) return [];
  const byNumber = new Map<string, Definition>();
  for (const name of optionsTemplateNames(OPTIONS_KINDS)) {
    for (const { type, octets, encoding } of optionsTemplate(version, name)?.fields ?? []) {
      if (KNOWN_IN_NETFLOW9_OPTIONS.includes(type)) continue;
      const number = String(type);
      const isString = encoding === 'string';
      byNumber.set(number, { name: ianaName(type), number, isString, octets });
    }
  }
  return [...byNumber.values()];
}

function ianaName(type: number): string {
  const elements = Object.entries(INFORMATION_ELEMENTS);
  const found = elements.find(([, { id, enterprise }]) => id === type && enterprise === 0);
  if (found === undefined) throw new Error(`IANA has no element ${type}`);
  return found[0];
}

function processElements(version: Version): Definition[] {
  return exported(version)
    .filter(({ name }) => !NEWER_IN_NETFLOW9.includes(name))
    .map((definition) => ({ ...definition, name: snakeCase(definition.name) }));
}

function sorted<Named extends { readonly number: string }>(definitions: readonly Named[]): Named[] {
  return [...definitions].sort((a, b) => (a.number < b.number ? -1 : 1));
}

function readPrimitives(file: string): Definition[] {
  const lines = readFileSync(join(NFACCTD_CONTRIB, file), 'utf8').trimEnd().split('\n');
  const rows = lines.filter((line) => !line.startsWith('!'));
  return rows.map((line) => {
    const keys = Object.fromEntries(
      line.split(' ').map((part) => part.split('=') as [string, string]),
    );
    const { name = '', field_type: number = '', len, semantics } = keys;
    if (semantics !== 'str' && semantics !== 'u_int') throw new Error(`not for a process: ${line}`);
    const octets = len === 'vlen' ? VARIABLE_LENGTH : Number(len);
    return { name, number, isString: semantics === 'str', octets };
  });
}

for (const version of [9, 10] as const) {
  const file = NFACCTD_PRIMITIVES[version];
  t.test(`nfacctd/${file} is what is exported`, async (t) => {
    const primitives = readPrimitives(file);
    t.same(sorted(primitives), sorted(processElements(version)));
  });
}

type FieldList = Readonly<Record<string, readonly [type: string, name: string]>>;

/** As the codec looks them up: `- :uint32` is a Ruby symbol, and a string to filebeat. */
function readDefinitions(fields: FieldList, prefix = ''): object[] {
  return Object.entries(fields).map(([number, [type, name]]) => ({
    number: prefix + number,
    type,
    name,
  }));
}

function logstashDefinitions(version: Version): object[] {
  return sorted([...exported(version), ...unknownInOptions(version)]).map(
    ({ name, number, isString, octets }) => ({
      number,
      type: isString ? ':string' : `:uint${octets * 8}`,
      name: `:${name}`,
    }),
  );
}

t.test('logstash/netflow.yaml and ipfix.yaml are what is exported', async (t) => {
  const netflow = parse(read('logstash/netflow.yaml')) as FieldList;
  t.same(sorted(readDefinitions(netflow) as never), logstashDefinitions(9));
  const ipfix = parse(read('logstash/ipfix.yaml')) as Readonly<Record<string, FieldList>>;
  // The codec puts an enterprise of this file in the place of its own: IANA's must not be here.
  t.same(Object.keys(ipfix), [String(NTOP)]);
  const elements = readDefinitions(ipfix[NTOP] ?? {}, `${NTOP}:`);
  t.same(sorted(elements as never), logstashDefinitions(10));
});

t.test('what the standard profile has, logstash knows without a definition', async (t) => {
  for (const version of [9, 10] as const) {
    const needed = new Set(exported(version).map(({ number }) => number));
    for (const family of ['ipv4', 'ipv6'] as const) {
      const { fields } = flowTemplate(version, family, { profile: 'standard' });
      t.same(
        fields.filter(({ type, enterprise }) =>
          needed.has(enterprise === 0 ? `${type}` : `${enterprise}:${type}`),
        ),
        [],
      );
    }
  }
});

t.test('logstash and filebeat are given those files', async (t) => {
  for (const file of ['netflow.yaml', 'ipfix.yaml']) {
    t.match(read('logstash/procflow.conf'), `/etc/logstash/procflow/${file}`);
  }
  const filebeat = parse(read('filebeat/filebeat.yml')) as {
    'filebeat.inputs': readonly { type: string; custom_definitions: readonly string[] }[];
  };
  const [input] = filebeat['filebeat.inputs'];
  t.match(input, { type: 'netflow', protocols: ['v9', 'ipfix'] });
  t.same(input?.custom_definitions, [
    '/etc/filebeat/procflow/netflow.yaml',
    '/etc/filebeat/procflow/ipfix.yaml',
  ]);
});

interface Mapping {
  readonly field: number;
  readonly penprovided?: boolean;
  readonly pen?: number;
  readonly destination: string;
}

interface Goflow2Mapping {
  readonly formatter: {
    readonly fields: readonly string[];
    readonly protobuf: readonly { name: string; index: number; type: string }[];
    readonly render: Readonly<Record<string, string>>;
  };
  readonly ipfix: { readonly mapping: readonly Mapping[] };
  readonly netflowv9: { readonly mapping: readonly Mapping[] };
}

t.test('goflow2/mapping.yaml is what is exported', async (t) => {
  const { formatter, ipfix, netflowv9 } = parse(read('goflow2/mapping.yaml')) as Goflow2Mapping;
  const types = new Map(formatter.protobuf.map(({ name, type }) => [name, type]));
  const numbers = formatter.protobuf.map(({ index }) => index);
  t.equal(new Set(numbers).size, numbers.length, 'no number twice');
  t.ok(numbers.every((number) => number > 1000 && number < 19000));
  for (const [version, { mapping }] of [
    [9, netflowv9],
    [10, ipfix],
  ] as const) {
    const mapped = mapping.map(({ field, penprovided, pen, destination: name }) => ({
      name,
      number: penprovided === true ? `${pen}:${field}` : `${field}`,
      isString: types.get(name) === 'string',
    }));
    const expected = processElements(version).map(({ name, number, isString }) => ({
      name,
      number,
      isString,
    }));
    t.same(sorted(mapped), sorted(expected));
    t.same([...types.keys()].sort(), expected.map(({ name }) => name).sort());
    for (const { name, isString } of expected) {
      t.ok(formatter.fields.includes(name), `${name} is printed`);
      t.equal(formatter.render[name], isString ? 'string' : undefined);
    }
  }
  t.ok([...types.values()].every((type) => type === 'string' || type === 'varint'));
});
