// What the standards ask of an exporter, rule by rule: messages, sequence numbers, templates and sessions
// (RFC 7011, RFC 3954). Other tests have the details.
import t from 'tap';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { unsigned } from '../support/decoder/field-values.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../support/described-flows.js';
import { decodeExport } from '../support/exported-messages.js';
import {
  METERING_STATUS,
  allRecords,
  recordExport,
  streamTransport,
} from '../support/recorded-export.js';

const FLOWS = [CURL_FLOW, PING_FLOW, LOOPBACK_FLOW];
const SECOND_NS = 1_000_000_000n;
const MINUTE_NS = 60n * SECOND_NS;

t.test('RFC 7011 §3.1: the sequence number counts data records, options data too', async (t) => {
  const { sweep, transport } = await recordExport(10, { status: METERING_STATUS });
  await sweep(FLOWS);
  await sweep([CURL_FLOW]);
  const messages = decodeExport(transport.messages);
  let sent = 0;
  for (const { sequenceNumber, records } of messages) {
    t.equal(sequenceNumber, sent);
    sent += records.length;
  }
  const options = allRecords(messages).filter(({ isOptions }) => isOptions);
  t.ok(options.length > 0);
  t.equal(sent, options.length + 4);
});

t.test('RFC 7011 §3.1: each session and each domain counts for itself', async (t) => {
  const transport = streamTransport();
  const first = await recordExport(10, { observationDomainId: 1 }, transport);
  const second = await recordExport(10, { observationDomainId: 2 }, transport);
  await first.sweep(FLOWS);
  await second.sweep([CURL_FLOW]);
  await second.sweep([CURL_FLOW]);
  const messages = decodeExport(transport.messages, { isStream: true });
  t.same(sequenceGaps(messages), []);
  const numbers = messages.map((message) => [message.observationDomainId, message.sequenceNumber]);
  t.same(numbers, [
    [1, 0],
    [1, 0],
    [2, 0],
    [2, 0],
    [2, 1],
  ]);
  transport.session = 2;
  await second.sweep([CURL_FLOW]);
  t.equal(transport.messages.at(-1)?.readUInt32BE(8), 0, 'of the data in a new session');
});

t.test('RFC 3954 §5.1: v9 counts export packets; v5 counts flows', async (t) => {
  for (const [version, expected] of [
    [9, [0, 1, 2]],
    [5, [0, 2]],
  ] as const) {
    const { sweep, transport } = await recordExport(version);
    await sweep(FLOWS);
    await sweep([CURL_FLOW]);
    const numbers = decodeExport(transport.messages).map(({ sequenceNumber }) => sequenceNumber);
    t.same(numbers, expected, `v${version}`);
  }
});

t.test('RFC 3954 §5.1: the count is that of all records, templates too', async (t) => {
  const { sweep, transport } = await recordExport(9, { status: METERING_STATUS });
  await sweep(FLOWS);
  // The decoder refuses any other count.
  const messages = decodeExport(transport.messages);
  t.ok(messages.every(({ count = 0 }) => count > 0));
  const templates = messages.flatMap((message) => message.templates).length;
  const counts = messages.reduce((sum, { count = 0 }) => sum + count, 0);
  t.equal(counts, templates + allRecords(messages).length);
});

t.test('RFC 3954 §8: flow times are sysUptime, and none is later than the header', async (t) => {
  for (const version of [1, 5, 9] as const) {
    const { sweep, transport } = await recordExport(version);
    await sweep([CURL_FLOW]);
    const message = decodeExport(transport.messages).at(-1);
    const [record] = message?.records ?? [];
    const start = unsigned(record?.fields.get('0/22'));
    const end = unsigned(record?.fields.get('0/21'));
    t.equal(end - start, 999, `v${version}: milliseconds`);
    t.ok(end <= (message?.sysUptimeMs ?? 0));
  }
});

t.test(
  'RFC 7011 §10.3.3: with 512 octets, for an unknown path, no message is longer',
  async (t) => {
    for (const version of [1, 5, 9, 10] as const) {
      const { sweep, transport } = await recordExport(version, {
        ...{ maxMessageOctets: 512, status: METERING_STATUS },
      });
      await sweep(Array.from({ length: 50 }, (_, i) => FLOWS[i % 3] ?? CURL_FLOW));
      t.equal(sequenceGaps(decodeExport(transport.messages)).length, 0);
      const longest = Math.max(...transport.messages.map(({ length }) => length));
      t.ok(longest <= 512, `v${version}: ${longest}`);
      t.ok(longest > 256, 'and they are filled');
    }
  },
);

t.test('RFC 7011 §8.1: over UDP templates are sent again, by time and by messages', async (t) => {
  for (const version of [9, 10] as const) {
    const { sweep, transport, clock } = await recordExport(version, {
      ...{ templateRefreshMs: 60_000, templateRefreshMessages: 4 },
    });
    const templates = (): number[] =>
      decodeExport(transport.messages).map((message) => message.templates.length);
    await sweep([CURL_FLOW]);
    clock.now += MINUTE_NS - SECOND_NS;
    await sweep([CURL_FLOW]);
    t.same(templates(), [2, 0, 0], 'not before');
    clock.now += SECOND_NS;
    await sweep([CURL_FLOW]);
    t.same(templates(), [2, 0, 0, 2, 0], 'after a minute');
    for (let i = 0; i < 3; i++) await sweep([CURL_FLOW]);
    t.same(templates().slice(5), [0, 0, 0, 2], 'after four messages');
  }
});

t.test(
  'RFC 7011 §10.3.6: templates go ahead of the first data in a message of their own',
  async (t) => {
    const { sweep, transport } = await recordExport(10, { status: METERING_STATUS });
    await sweep(FLOWS);
    const messages = decodeExport(transport.messages);
    const firstData = messages.findIndex(({ records }) => records.some((r) => !r.isOptions));
    t.ok(firstData > 0);
    for (const { templates, records } of messages) {
      t.ok(
        templates.length === 0 || records.every(({ isOptions }) => isOptions),
        'never with flows',
      );
    }
    t.equal(messages[0]?.records.length, 0);
  },
);

t.test('RFC 7011 §10.4.2: over TCP templates are sent once a session', async (t) => {
  const transport = streamTransport();
  const { sweep, clock } = await recordExport(10, { templateRefreshMessages: 1 }, transport);
  const templates = (): number[] => transport.messages.map((bytes) => bytes.readUInt16BE(16));
  await sweep([CURL_FLOW]);
  clock.now += 1000n * MINUTE_NS;
  await sweep([CURL_FLOW]);
  t.same(templates(), [2, 256, 256]);
  transport.session = 2;
  await sweep([CURL_FLOW]);
  // What is sent again, because none of it was confirmed in the new session, comes behind them.
  t.equal(templates().filter((id) => id === 2).length, 2);
  t.equal(templates().slice(3)[0], 2, 'first of the new session');
});

t.test('RFC 7011 §3.4.1: template ids are from 256 on, and each is of one template', async (t) => {
  for (const [version, isBiflow] of [
    [9, false],
    [10, false],
    [10, true],
  ] as const) {
    const { sweep, transport } = await recordExport(version, {
      ...{ templates: { isBiflow, profile: 'full' }, status: METERING_STATUS },
    });
    await sweep(FLOWS);
    const templates = decodeExport(transport.messages).flatMap((message) => message.templates);
    const ids = templates.map(({ id }) => id);
    t.ok(ids.length > 6 && ids.every((id) => id >= 256 && id <= 65535));
    t.equal(new Set(ids).size, ids.length, 'of options too');
  }
});

t.test(
  'RFC 7011 §8.1: an id keeps its fields, and no template is withdrawn over UDP',
  async (t) => {
    const { sweep, transport, clock } = await recordExport(10, { status: METERING_STATUS });
    for (let minute = 0; minute < 20; minute++) {
      await sweep(FLOWS);
      clock.now += MINUTE_NS;
    }
    // A stream's decoder refuses an id that changes.
    const messages = decodeExport(transport.messages, { isStream: true });
    t.ok(messages.filter(({ templates }) => templates.length > 0).length >= 20);
    t.ok(messages.every(({ withdrawals }) => withdrawals.length === 0));
  },
);
