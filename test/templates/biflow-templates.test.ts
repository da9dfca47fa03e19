// Templates of biflows against RFC 5103 and against what nfdump cannot bear.
import t from 'tap';
import { DEFAULT_TEMPLATE_OPTIONS, flowTemplates } from '../../src/templates/flow-template.js';
import type { Template, TemplateOptions } from '../../src/templates/flow-template.js';

const REVERSE = 29305;

function biflowTemplates(options: Partial<TemplateOptions> = {}): Template[] {
  return flowTemplates(10, { ...options, isBiflow: true });
}

function numbers({ fields }: Template, enterprise: number): number[] {
  return fields.filter((field) => field.enterprise === enterprise).map(({ type }) => type);
}

t.test('each family has a template for biflows beside that for flows', async (t) => {
  const templates = biflowTemplates();
  t.same(
    templates.map(({ id, family, hasReverse }) => ({ id, family, hasReverse })),
    [
      { id: 256, family: 'ipv4', hasReverse: false },
      { id: 257, family: 'ipv6', hasReverse: false },
      { id: 258, family: 'ipv4', hasReverse: true },
      { id: 259, family: 'ipv6', hasReverse: true },
    ],
  );
  for (const template of templates) {
    t.ok(numbers(template, 0).includes(239), `${template.id} has biflowDirection`);
    t.equal(numbers(template, REVERSE).length > 0, template.hasReverse);
  }
});

t.test('without biflows nothing is added, and to no other format', async (t) => {
  t.equal(DEFAULT_TEMPLATE_OPTIONS.isBiflow, false);
  for (const version of [1, 5, 9, 10] as const) {
    const options = { isBiflow: version !== 10 };
    for (const template of flowTemplates(version, options)) {
      t.equal(template.hasReverse, false);
      t.notOk(numbers(template, 0).includes(239), `${version}`);
      t.same(numbers(template, REVERSE), []);
    }
  }
});

const PROFILES: readonly {
  name: string;
  options: Partial<TemplateOptions>;
  reverse: readonly number[];
}[] = [
  { name: 'process', options: {}, reverse: [2, 1] },
  { name: 'standard', options: { profile: 'standard' }, reverse: [2, 1] },
  {
    name: 'full',
    options: { profile: 'full' },
    reverse: [152, 153, 2, 1, 5, 136, 6, 25, 26, 52, 53],
  },
  {
    name: 'full with finer times',
    options: { profile: 'full', timePrecision: 'nanoseconds' },
    reverse: [156, 157, 2, 1, 5, 136, 6, 25, 26, 52, 53],
  },
  {
    name: 'a list',
    options: { profile: ['octetDeltaCount', 'minimumTTL', 'srcProcessId', 'flowEndReason'] },
    reverse: [1],
  },
];

for (const { name, options, reverse } of PROFILES) {
  t.test(`the reverse elements of ${name}`, async (t) => {
    const plain = flowTemplates(10, options);
    const templates = biflowTemplates(options);
    for (const [i, template] of templates.entries()) {
      const forward = plain[i % 2]?.fields ?? [];
      t.same(template.fields.slice(0, forward.length), forward, 'the forward fields are the same');
      t.same(numbers(template, REVERSE), template.hasReverse ? reverse : []);
    }
  });
}

t.test(
  'reverse fields are as long as the forward ones and stand a flow record further',
  async (t) => {
    for (const { fields } of biflowTemplates({ profile: 'full' })) {
      for (const field of fields.filter(({ enterprise }) => enterprise === REVERSE)) {
        const forward = fields.find((f) => f.type === field.type && f.enterprise === 0);
        t.equal(field.octets, forward?.octets, field.element);
        const offset = (of: typeof forward): number =>
          of !== undefined && 'offset' in of.encoding ? of.encoding.offset : NaN;
        t.equal(offset(field) - offset(forward), 208, field.element);
      }
    }
  },
);
