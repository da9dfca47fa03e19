// IPFIX as the decoder reads it.
import t from 'tap';
import { addressText, ntpTimeNs, text, unsigned } from '../support/decoder/field-values.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { IPFIX_DATA, IPFIX_TEMPLATES, IPFIX_WITHDRAWAL, ipfix } from './written-messages.js';

t.test('templates and options templates with elements of enterprises', async (t) => {
  const { records, templates, ...header } = new MessageDecoder({ isStrict: true }).decode(
    IPFIX_TEMPLATES,
  );
  t.same(header, {
    version: 10,
    exportTime: 1_704_168_245,
    exportNanoseconds: 0,
    sequenceNumber: 7,
    observationDomainId: 3,
    octets: 84,
    withdrawals: [],
    unknownSets: [],
    paddingOctets: 2,
  });
  t.same(records, []);
  const fields = templates.map((template) =>
    template.fields.map(({ key, octets, isScope }) => `${key} ${octets}${isScope ? ' scope' : ''}`),
  );
  t.same(fields, [
    ['0/8 4', '0/1 3', '35632/169 65535', '0/96 65535', '0/136 1', '0/154 8'],
    ['0/149 4 scope', '35632/168 2 scope', '0/83 65535', '0/41 8'],
  ]);
  t.same(
    templates.map(({ id, isOptions }) => [id, isOptions]),
    [
      [256, false],
      [257, true],
    ],
  );
  t.same(templates[0]?.fields[2], {
    key: '35632/169',
    enterprise: 35632,
    element: 169,
    octets: 65535,
    isVariable: true,
    isScope: false,
  });
});

t.test('data of variable length in both forms, and options data', async (t) => {
  const decoder = new MessageDecoder({ isStrict: true });
  decoder.decode(IPFIX_TEMPLATES);
  const { records, paddingOctets } = decoder.decode(IPFIX_DATA);
  t.same([records.length, paddingOctets], [3, 2]);
  const [first, second, options] = records;
  t.equal(addressText(first?.fields.get('0/8')), '192.0.2.1');
  t.equal(unsigned(first?.fields.get('0/1')), 4567);
  t.equal(text(first?.fields.get('35632/169')), 'curl');
  t.equal(text(first?.fields.get('0/96')), 'a'.repeat(300));
  t.equal(ntpTimeNs(first?.fields.get('0/154')), 1_704_168_245_500_000_000n);
  t.equal(text(second?.fields.get('35632/169')), '');
  t.equal(text(second?.fields.get('0/96')), 'bar');
  t.match(options, { templateId: 257, isOptions: true });
  t.equal(unsigned(options?.fields.get('35632/168')), 1234);
  t.equal(text(options?.fields.get('0/83')), 'Loopback if ');
  t.equal(unsigned(options?.fields.get('0/41')), 9);
});

t.test('a message may have its templates before its data, and a template may change', async (t) => {
  const decoder = new MessageDecoder({ isStrict: true });
  const template = (element: string, octets: string): string =>
    `0002 000c 0100 0001 ${element} ${octets}`;
  const decoded = decoder.decode(
    ipfix(template('0004', '0001'), '0100 0006 0611', template('0007', '0002'), '0100 0006 01bb'),
  );
  t.same(
    decoded.records.map(({ fields }) => [...fields].map(([key, value]) => [key, unsigned(value)])),
    [[['0/4', 6]], [['0/4', 17]], [['0/7', 443]]],
  );
  t.equal(decoder.decode(ipfix('0100 0006 01bb')).records.length, 1);
});

t.test('of an element that is there twice the map has the first, the list both', async (t) => {
  const decoder = new MessageDecoder({ isStrict: true });
  const { records } = decoder.decode(
    ipfix('0002 0010 0100 0002 0046 0003 0046 0003', '0100 000a 000101 000201'),
  );
  t.equal(unsigned(records[0]?.fields.get('0/70')), 0x101);
  t.same(records[0]?.values.map(unsigned), [0x101, 0x201]);
});

t.test('a withdrawal ends a template in a stream, and is ignored over UDP', async (t) => {
  const withdrawals = [{ templateId: 256, isOptions: false }];
  const stream = new MessageDecoder({ isStrict: true, isStream: true });
  stream.decode(IPFIX_TEMPLATES);
  t.match(stream.decode(IPFIX_WITHDRAWAL), { withdrawals, templates: [] });
  t.throws(() => stream.decode(IPFIX_DATA), { code: 'unknown-template', offset: 16 });
  t.throws(() => stream.decode(IPFIX_WITHDRAWAL), { code: 'bad-withdrawal', offset: 20 });

  const udp = new MessageDecoder();
  udp.decode(IPFIX_TEMPLATES);
  t.match(udp.decode(IPFIX_WITHDRAWAL), { withdrawals });
  t.equal(udp.decode(IPFIX_DATA).records.length, 3);
});

t.test('all templates or all options templates can be withdrawn', async (t) => {
  const decoder = new MessageDecoder({ isStream: true });
  const unknown = (): number[] => decoder.decode(IPFIX_DATA).unknownSets.map(({ setId }) => setId);
  decoder.decode(IPFIX_TEMPLATES);
  t.same(unknown(), []);
  t.match(decoder.decode(ipfix('0003 0008 0003 0000')).withdrawals, [
    { templateId: 3, isOptions: true },
  ]);
  t.same(unknown(), [257]);
  decoder.decode(ipfix('0002 0008 0002 0000'));
  t.same(unknown(), [256, 257]);
});

t.test('sets that say nothing are reported', async (t) => {
  const decoder = new MessageDecoder();
  decoder.decode(IPFIX_TEMPLATES);
  const decoded = decoder.decode(
    ipfix('0004 0008 00000000', '0400 0005 00', '0101 0006 0000', '0002 0004'),
  );
  t.same(decoded.records, []);
  t.same(decoded.unknownSets, [
    { setId: 4, offset: 16, octets: 8, reason: 'reserved-id' },
    { setId: 1024, offset: 24, octets: 5, reason: 'no-template' },
    { setId: 257, offset: 29, octets: 6, reason: 'no-record' },
    { setId: 2, offset: 35, octets: 4, reason: 'no-record' },
  ]);
});

t.test('a message that is malformed has changed nothing', async (t) => {
  const decoder = new MessageDecoder();
  decoder.decode(IPFIX_TEMPLATES);
  const broken = ipfix('0002 000c 0100 0001 0004 0001', '0100 0010 06');
  t.throws(() => decoder.decode(broken), { code: 'truncated' });
  t.equal(decoder.decode(IPFIX_DATA).records.length, 3, 'with the template that it had');
});
