import t from 'tap';
import {
  netflow9NameOctets,
  parseProcessTextFormat,
} from '../../src/templates/process-text-format.js';
import { flowTemplate } from '../../src/templates/flow-template.js';

const FORMATS = [
  { text: '{comm}', parts: ['comm'], maxOctets: 15, netflow9Octets: 20 },
  { text: '{pid}/{uid}', parts: ['pid', '/', 'uid'], maxOctets: 18, netflow9Octets: 20 },
  { text: 'app:{comm}', parts: ['app:', 'comm'], maxOctets: 19, netflow9Octets: 20 },
  { text: 'apps:{comm}', parts: ['apps:', 'comm'], maxOctets: 20, netflow9Octets: 65 },
  { text: 'ä€:{comm}', parts: ['ä€:', 'comm'], maxOctets: 21, netflow9Octets: 65 },
  { text: '{comm}/{pid}', parts: ['comm', '/', 'pid'], maxOctets: 23, netflow9Octets: 65 },
  { text: '{user}', parts: ['user'], maxOctets: 64, netflow9Octets: 65 },
  { text: '{exe}', parts: ['exe'], maxOctets: 4095, netflow9Octets: 65 },
  { text: '{{{comm}}}', parts: ['{', 'comm', '}'], maxOctets: 17, netflow9Octets: 20 },
  { text: 'a}}{{b', parts: ['a}{b'], maxOctets: 4, netflow9Octets: 20 },
] as const;

t.test('a format is text with placeholders, and the length in v9 follows from it', async (t) => {
  for (const { text, parts, maxOctets, netflow9Octets } of FORMATS) {
    const format = parseProcessTextFormat(text);
    const asText = format.parts.map((part) =>
      typeof part === 'string' ? part : Buffer.from(part).toString(),
    );
    t.same(asText, parts, text);
    t.equal(format.maxOctets, maxOctets, text);
    t.equal(netflow9NameOctets(format), netflow9Octets, text);
    for (const family of ['ipv4', 'ipv6'] as const) {
      const { fields } = flowTemplate(9, family, { nameFormat: format });
      const field = fields.find(({ element }) => element === 'netflow9UserName');
      t.equal(field?.octets, netflow9Octets, `${text}, template for ${family}`);
    }
  }
});

const ALL =
  '{comm} {pid} {uid} {user} {exe} {exename} {command} {ppid} {parent} {unit} {container} ' +
  '{containerid} {runtime} {cgroup} {pod}';
const WRONG = [
  { text: '', reason: 'is empty', advice: `give text with any of ${ALL}` },
  { text: '{name}', reason: '{name} stands for nothing', advice: `give text with any of ${ALL}` },
  { text: '{}', reason: '{} stands for nothing', advice: `give text with any of ${ALL}` },
  {
    text: '{toString}',
    reason: '{toString} stands for nothing',
    advice: `give text with any of ${ALL}`,
  },
  { text: '{comm', reason: 'has a { that no } closes', advice: 'write {{ for a brace' },
  { text: '{comm {pid}', reason: 'has a { that no } closes', advice: 'write {{ for a brace' },
  { text: 'comm}', reason: 'has a } that no { opens', advice: 'write }} for a brace' },
  {
    text: '"{comm}"',
    reason: 'has a quote, a backslash or a control character',
    advice: `give text with any of ${ALL}`,
  },
  {
    text: '{comm}\n',
    reason: 'has a quote, a backslash or a control character',
    advice: `give text with any of ${ALL}`,
  },
] as const;

t.test('a format that cannot be read says why, and which placeholders there are', async (t) => {
  for (const { text, reason, advice } of WRONG) {
    const operation = `read the format ${JSON.stringify(text)}`;
    t.throws(
      () => parseProcessTextFormat(text),
      {
        name: 'TemplateError',
        code: 'bad-format',
        message: `${operation}: ${reason} (${advice})`,
        ...{ operation, reason, advice },
      },
      text,
    );
  }
});

t.test('the default formats leave the templates as they are', async (t) => {
  for (const version of [9, 10] as const) {
    for (const profile of ['process', 'full', 'standard'] as const) {
      const formats = {
        nameFormat: parseProcessTextFormat('{comm}'),
        userFormat: parseProcessTextFormat('{user}'),
      };
      t.same(
        flowTemplate(version, 'ipv4', { profile, ...formats }),
        flowTemplate(version, 'ipv4', { profile }),
      );
    }
  }
});
