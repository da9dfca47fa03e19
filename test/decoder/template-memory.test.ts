// How much the decoder keeps of what senders announce.
import t from 'tap';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { ipfix } from './written-messages.js';

const id = (value: number): string => value.toString(16).padStart(4, '0');
/** Each takes two units. */
const templates = (count: number, first = 256): Buffer =>
  ipfix(
    `0002 ${id(4 + 8 * count)}`,
    ...Array.from({ length: count }, (_, i) => `${id(first + i)} 0001 0004 0001`),
  );
const DATA = ipfix('0100 0005 06');

t.test(
  'a domain with too many templates is refused the next, and keeps those it has',
  async (t) => {
    // Four units for the domain, two for each template.
    const decoder = new MessageDecoder({ limits: { unitsPerDomain: 24, units: 1000 } });
    t.equal(decoder.decode(templates(10)).templates.length, 10);
    t.throws(() => decoder.decode(templates(1, 300)), { code: 'too-many-templates', offset: 20 });
    t.equal(decoder.decode(templates(10)).templates.length, 10, 'the same again is nothing new');
    t.equal(decoder.decode(DATA).records.length, 1);
    t.equal(decoder.decode(templates(10), 'another').templates.length, 10);
  },
);

t.test('a withdrawal makes room', async (t) => {
  const limits = { unitsPerDomain: 24, units: 1000 };
  const decoder = new MessageDecoder({ limits, isStream: true });
  for (let i = 0; i < 5; i++) {
    decoder.decode(templates(10, 256 + 100 * i));
    decoder.decode(ipfix('0002 0008 0002 0000'));
  }
  t.equal(decoder.decode(templates(10)).templates.length, 10);
  decoder.decode(ipfix('0002 0008 0109 0000'));
  t.equal(decoder.decode(templates(1, 400)).templates.length, 1);
});

t.test('with too many domains those are forgotten that were silent for longest', async (t) => {
  // Three domains of 24 units.
  const decoder = new MessageDecoder({ limits: { unitsPerDomain: 24, units: 72 } });
  for (const sender of ['a', 'b', 'c']) decoder.decode(templates(10), sender);
  t.equal(decoder.evictedDomains, 0);
  decoder.decode(DATA, 'a');
  decoder.decode(templates(10), 'd');
  t.equal(decoder.evictedDomains, 1);
  const known = ['a', 'b', 'c', 'd'].map((sender) => decoder.decode(DATA, sender).records.length);
  t.same(known, [1, 0, 1, 1]);
});

t.test('a flood of senders stays within the limit', async (t) => {
  const decoder = new MessageDecoder({ limits: { unitsPerDomain: 24, units: 240 } });
  for (let i = 0; i < 1000; i++) decoder.decode(templates(10), `sender ${i}`);
  t.equal(decoder.evictedDomains, 990);
  t.equal(decoder.decode(DATA, 'sender 999').records.length, 1);
});
