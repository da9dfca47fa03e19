// The flow-fields table against the registries and against what collectors cannot bear.
import t from 'tap';
import { ABSENT, FLOW_FIELDS, VARIABLE_LENGTH } from '../../src/templates/flow-fields.js';
import { flowTemplate } from '../../src/templates/flow-template.js';
import { INFORMATION_ELEMENTS } from '../../src/templates/information-elements.gen.js';

/** RFC 7011 §6.1; strings and octetArray have any length. */
const TYPE_OCTETS: Readonly<Record<string, number>> = {
  boolean: 1,
  unsigned8: 1,
  unsigned16: 2,
  unsigned32: 4,
  unsigned64: 8,
  dateTimeMilliseconds: 8,
  dateTimeMicroseconds: 8,
  dateTimeNanoseconds: 8,
  ipv4Address: 4,
  ipv6Address: 16,
  macAddress: 6,
};

t.test('every length is one that the element’s type allows', async (t) => {
  for (const { element, ipfixOctets, netflow9Octets } of FLOW_FIELDS) {
    const { dataType } = INFORMATION_ELEMENTS[element];
    const full = TYPE_OCTETS[dataType];
    for (const octets of [ipfixOctets, netflow9Octets]) {
      if (octets === ABSENT) continue;
      if (full === undefined) t.match(dataType, /^(string|octetArray)$/, element);
      // "Reduced-size encoding can be applied to" integers (RFC 7011 §6.2)
      else if (dataType.startsWith('unsigned')) t.ok(octets <= full, element);
      else t.equal(octets, full, element);
    }
    t.not(netflow9Octets, VARIABLE_LENGTH, `${element} has a length in v9`);
  }
});

const TEMPLATES = ([9, 10] as const).flatMap((version) =>
  (['ipv4', 'ipv6'] as const).flatMap((family) =>
    (['process', 'full', 'standard'] as const).map((profile) => ({
      name: `${version} ${family} ${profile}`,
      template: flowTemplate(version, family, { profile }),
    })),
  ),
);

t.test('no template has an element twice', async (t) => {
  for (const { name, template } of TEMPLATES) {
    const numbers = template.fields.map(({ enterprise, type }) => `${enterprise}/${type}`);
    t.equal(new Set(numbers).size, numbers.length, name);
  }
});

t.test('v9 templates keep clear of what makes nfdump take a flow for an event', async (t) => {
  const forbidden = new Set([148, 230, 233, 283, 33002, 40005, 292]);
  for (const { name, template } of TEMPLATES) {
    if (template.version !== 9) continue;
    t.notOk(
      template.fields.some(({ type }) => forbidden.has(type)),
      name,
    );
    t.ok(
      template.fields.every(({ enterprise }) => enterprise === 0),
      `${name}: no enterprises`,
    );
  }
});

t.test('IPFIX templates have numbers that IPFIX can have', async (t) => {
  for (const { name, template } of TEMPLATES) {
    if (template.version === 10)
      t.ok(
        template.fields.every(({ type }) => type < 0x8000),
        name,
      );
  }
});

t.test('the standard profile has IANA elements and the user name of v9 alone', async (t) => {
  const types = flowTemplate(9, 'ipv4', { profile: 'standard' }).fields.map(({ type }) => type);
  t.ok(types.includes(40000));
  t.notOk(types.some((type) => type >= 57472));
  t.notOk(
    types.some((type) => type > 89 && type !== 136 && type !== 40000),
    'as logstash has it',
  );
  t.ok(
    flowTemplate(10, 'ipv6', { profile: 'standard' }).fields.every(
      ({ enterprise }) => enterprise === 0,
    ),
  );
});

t.test('what nfdump prints as user name has 20 octets', async (t) => {
  for (const { name, template } of TEMPLATES) {
    const field = template.fields.find(({ type }) => type === 40000);
    t.equal(field?.octets, template.version === 9 ? 20 : undefined, name);
  }
});

t.test('the full profile is the process profile and more behind it', async (t) => {
  for (const version of [9, 10] as const) {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const process = flowTemplate(version, family).fields;
      const full = flowTemplate(version, family, { profile: 'full' }).fields;
      t.same(full.slice(0, process.length), process);
      const added = full.slice(process.length).map(({ element }) => element);
      t.equal(added.length, 8);
      t.ok(added.every((element) => /^(src|dst)(Parent)?Process/.test(element)));
    }
  }
});
