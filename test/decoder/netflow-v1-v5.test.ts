// NetFlow v1 and v5 as the decoder reads them.
import t from 'tap';
import { addressText, unsigned, uptimeEpochMs } from '../support/decoder/field-values.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { V1, V5 } from './written-messages.js';

const strict = new MessageDecoder({ isStrict: true });
/** 2024-01-02 04:04:05.250, when sysUptime was 60 s. */
const EXPORTED_MS = Date.UTC(2024, 0, 2, 4, 4, 5, 250);

t.test('the header of v5 has a sequence number, the engine and the sampling', async (t) => {
  const { records, templates, ...header } = strict.decode(V5);
  t.same(header, {
    version: 5,
    count: 2,
    sysUptimeMs: 60_000,
    exportTime: 1_704_168_245,
    exportNanoseconds: 250_000_000,
    sequenceNumber: 42,
    observationDomainId: 0x0102,
    sampling: { mode: 1, interval: 100 },
    octets: 120,
    withdrawals: [],
    unknownSets: [],
    paddingOctets: 0,
  });
  t.equal(records.length, 2);
  t.same(templates, []);
});

t.test('the header of v1 has neither', async (t) => {
  const { records, ...header } = strict.decode(V1);
  t.match(header, { version: 1, count: 2, sysUptimeMs: 60_000, exportTime: 1_704_168_245 });
  t.match(header, { exportNanoseconds: 250_000_000, sequenceNumber: 0, observationDomainId: 0 });
  t.notOk('sampling' in header);
  t.equal(records.length, 2);
});

for (const [version, message] of [
  [1, V1],
  [5, V5],
] as const) {
  t.test(`records of v${version} have their values under IANA's numbers`, async (t) => {
    const decoded = strict.decode(message);
    const [record, second] = decoded.records;
    const value = (element: number): Buffer | undefined => record?.fields.get(`0/${element}`);
    t.same(
      [8, 12, 15].map((element) => addressText(value(element))),
      ['192.0.2.1', '198.51.100.2', '192.0.2.254'],
    );
    t.same(
      [10, 14, 2, 1, 7, 11].map((element) => unsigned(value(element))),
      [1, 2, 23, 4567, 40_000, 443],
    );
    t.same(
      [4, 5, 6].map((element) => unsigned(value(element))),
      [6, 16, 0x1b],
    );
    t.same(
      [22, 21].map((element) => uptimeEpochMs(decoded, value(element))),
      [EXPORTED_MS - 10_000, EXPORTED_MS - 1],
    );
    t.equal(addressText(second?.fields.get('0/8')), '198.51.100.2');
    t.equal(unsigned(second?.fields.get('0/6')), 0x12);
    t.equal(uptimeEpochMs(decoded, second?.fields.get('0/21')), EXPORTED_MS);
    t.match(record, { templateId: 0, isOptions: false });
  });
}

t.test('v5 has autonomous systems and masks too', async (t) => {
  const [record] = strict.decode(V5).records;
  const values = [16, 17, 9, 13].map((element) => unsigned(record?.fields.get(`0/${element}`)));
  t.same(values, [65_000, 65_001, 24, 16]);
});

t.test('what a sender appends is padding, and refused in strict mode', async (t) => {
  const longer = Buffer.concat([V5, Buffer.alloc(48)]);
  t.match(new MessageDecoder().decode(longer), { paddingOctets: 48, records: { length: 2 } });
  t.throws(() => strict.decode(longer), { code: 'trailing-octets', offset: 120 });
});
