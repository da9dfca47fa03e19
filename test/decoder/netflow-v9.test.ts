// NetFlow v9 as the decoder reads it.
import t from 'tap';
import { addressText, unsigned } from '../support/decoder/field-values.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { V9_DATA, V9_TEMPLATES } from './written-messages.js';

t.test('templates and options templates, with the padding behind them', async (t) => {
  const { records, templates, ...header } = new MessageDecoder({ isStrict: true }).decode(
    V9_TEMPLATES,
  );
  t.same(header, {
    version: 9,
    count: 2,
    sysUptimeMs: 60_000,
    exportTime: 1_704_168_245,
    exportNanoseconds: 0,
    sequenceNumber: 7,
    observationDomainId: 3,
    octets: 76,
    withdrawals: [],
    unknownSets: [],
    paddingOctets: 2,
  });
  t.same(records, []);
  t.match(templates, [
    { id: 256, isOptions: false, minRecordOctets: 25, fields: { length: 6 } },
    { id: 257, isOptions: true, minRecordOctets: 7 },
  ]);
  t.same(templates[1]?.fields, [
    { key: 'scope/1', enterprise: 0, element: 1, octets: 4, isVariable: false, isScope: true },
    { key: '0/34', enterprise: 0, element: 34, octets: 2, isVariable: false, isScope: false },
    { key: '0/35', enterprise: 0, element: 35, octets: 1, isVariable: false, isScope: false },
  ]);
  const types = templates[0]?.fields.map(({ key, octets }) => `${key} ${octets}`);
  t.same(types, ['0/8 4', '0/12 4', '0/2 4', '0/1 8', '0/4 1', '0/57640 4']);
});

t.test('data and options data', async (t) => {
  const decoder = new MessageDecoder({ isStrict: true });
  decoder.decode(V9_TEMPLATES);
  const { records, count, paddingOctets } = decoder.decode(V9_DATA);
  t.same([count, records.length, paddingOctets], [3, 3, 3]);
  const [first, second, options] = records;
  t.equal(addressText(first?.fields.get('0/8')), '192.0.2.1');
  t.equal(unsigned(first?.fields.get('0/1')), 4567);
  t.equal(unsigned(first?.fields.get('0/57640')), 1234);
  t.equal(addressText(second?.fields.get('0/8')), '198.51.100.2');
  t.match(options, { templateId: 257, isOptions: true });
  t.same(
    options?.values.map((value) => value.toString('hex')),
    ['7f000001', '0064', '01'],
  );
  t.same([...(options?.fields.keys() ?? [])], ['scope/1', '0/34', '0/35']);
});

t.test('templates are of one sender, source id and version', async (t) => {
  const decoder = new MessageDecoder();
  decoder.decode(V9_TEMPLATES, 'a');
  const other = Buffer.from(V9_DATA);
  other.writeUInt32BE(4, 16);
  const unknown = { records: [], unknownSets: [{ setId: 256 }, { setId: 257 }] };
  t.match(decoder.decode(V9_DATA, 'b'), unknown);
  t.match(decoder.decode(other, 'a'), unknown);
  t.equal(decoder.decode(V9_DATA, 'a').records.length, 3);
  decoder.endSession('a');
  t.match(decoder.decode(V9_DATA, 'a'), unknown);
});
