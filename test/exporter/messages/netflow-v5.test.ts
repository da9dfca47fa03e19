// NetFlow v5 messages octet by octet, and what nfdump makes of them.
import { createSocket } from 'node:dgram';
import t from 'tap';
import { unsigned64, uptimeEpochMs } from '../../support/decoder/field-values.js';
import { sequenceGaps } from '../../support/decoder/sequence-check.js';
import { startDefaultNfcapd } from '../../support/default-nfcapd.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { decodeExport, exportedRecords } from '../../support/exported-messages.js';
import { BOOT_EPOCH_MS, recordExport } from '../../support/recorded-export.js';
import { missingRequirement } from '../../support/requirements.js';
import type { Sampling } from '../../../src/flow/sampling.js';

const OCTETS = '0/1';
const PACKETS = '0/2';
const INPUT = '0/10';
const OUTPUT = '0/14';
const FIRST = '0/22';
const LAST = '0/21';

// One hexadecimal string a part, with what it is.
const HEADER = [
  '0005', // version
  '0002', // count
  '05265c01', // sysUptime 86400.001 s: the exporter's zero lies a day before its start
  '65938b35', // unixSecs: 04:04:05
  '0ef5f4c0', // and .251 of the second, in nanoseconds: rounded up from .2505
  '00000000', // flow sequence
  '00 07', // engine type and id, of the observation domain 7
  '0000', // all packets are metered
];
const RECORDS = [
  'c0000201 c6336402 00000000', // addresses, next hop
  '0000 0002', // it came in by no interface and went out by 2
  '00000017 000011d7', // 23 packets, 4567 octets
  '05265818 05265bff', // first and last: 1 s and 1 ms before the hour of uptime
  '9c40 01bb 00', // ports, padding
  '1b 06 10', // flags, TCP, tos
  '0000 0000 00 00 0000', // autonomous systems, masks, padding
  '7f000001 7f000001 00000000', // on loopback
  '0001 0001', // in and out
  '00000002 000000a8', // 2 packets, 168 octets
  '05265430 05265624', // first and last
  '0035 14e9 00', // ports, padding
  '00 11 00', // no flags, UDP, tos
  '0000 0000 00 00 0000',
];

function octets(parts: readonly string[]): string {
  return parts.join('').replaceAll(' ', '');
}

function statusOf(sampling: Sampling) {
  const losses = { packets: 0, octets: 0, firstMs: undefined, lastMs: undefined };
  return { sampling, interfaces: () => [], losses: () => losses };
}

t.test('a message has a header of 24 octets and records of 48, and no templates', async (t) => {
  const { sweep, transport, exporter } = await recordExport(5);
  await sweep([CURL_FLOW, LOOPBACK_FLOW]);
  const messages = transport.messages.map((message) => message.toString('hex'));
  t.same(messages, [octets([...HEADER, ...RECORDS])]);
  t.match(exporter.statistics(), { messages: 1, records: 2, templates: 0 });
});

t.test('times are exact to the millisecond', async (t) => {
  const { sweep, transport } = await recordExport(5);
  await sweep([CURL_FLOW]);
  const [message] = decodeExport(transport.messages);
  const fields = message?.records[0]?.fields;
  if (message === undefined || fields === undefined) throw new Error('no record');
  t.equal(uptimeEpochMs(message, fields.get(FIRST)), BOOT_EPOCH_MS + 3_599_000);
  t.equal(uptimeEpochMs(message, fields.get(LAST)), BOOT_EPOCH_MS + 3_599_999);
});

t.test('a message holds 30 records, and its sequence number counts those before', async (t) => {
  const flows = Array.from({ length: 70 }, () => CURL_FLOW);
  const { sweep, transport } = await recordExport(5, { maxMessageOctets: 9000 });
  await sweep(flows);
  await sweep([CURL_FLOW]);
  const messages = decodeExport(transport.messages);
  t.same(
    messages.map(({ records, sequenceNumber }) => [sequenceNumber, records.length]),
    [
      [0, 30],
      [30, 30],
      [60, 10],
      [70, 1],
    ],
  );
  t.same(sequenceGaps(messages), []);

  const small = await recordExport(5, { maxMessageOctets: 24 + 4 * 48 + 47 });
  await small.sweep(flows.slice(0, 9));
  t.same(
    small.transport.messages.map(({ length }) => length),
    [216, 216, 72],
  );
});

t.test('flows over IPv6 have no record in v5, and are counted', async (t) => {
  const { sweep, transport, exporter } = await recordExport(5);
  await sweep([PING_FLOW, CURL_FLOW, PING_FLOW]);
  t.match(exporter.statistics(), { records: 1, notExportable: 2, lostRecords: 0 });
  await sweep([PING_FLOW]);
  t.equal(transport.messages.length, 1, 'and make no empty message');
  t.equal(exporter.statistics().notExportable, 3);
});

t.test('the engine is the low half of the observation domain', async (t) => {
  const { sweep, transport } = await recordExport(5, { observationDomainId: 0xdead_1234 });
  await sweep([CURL_FLOW]);
  t.equal(transport.messages[0]?.toString('hex', 20, 22), '1234', 'type, then id');
});

t.test('the header says how packets were sampled', async (t) => {
  const cases: readonly (readonly [Sampling, string])[] = [
    [{ kind: 'none' }, '0000'],
    [{ kind: 'count', interval: 100 }, '4064'], // mode 01, interval 100
    [{ kind: 'random', interval: 100 }, '8064'], // mode 10
    [{ kind: 'count', interval: 16_383 }, '7fff'], // all that the field has
    [{ kind: 'count', interval: 16_384 }, '0000'], // rather nothing than another interval
    [{ kind: 'flow', interval: 8 }, '0000'], // no packets are left out of these flows
  ];
  for (const [sampling, expected] of cases) {
    const { sweep, transport } = await recordExport(5, { status: statusOf(sampling) });
    await sweep([CURL_FLOW]);
    t.equal(transport.messages[0]?.toString('hex', 22, 24), expected, JSON.stringify(sampling));
  }
});

t.test('an interface whose index has no room is not known', async (t) => {
  const { sweep, transport } = await recordExport(5);
  await sweep([65_535, 65_536].map((interfaceIndex) => ({ ...CURL_FLOW, interfaceIndex })));
  const found = exportedRecords(transport.messages).map(({ fields }) => [
    Number(unsigned64(fields.get(INPUT))),
    Number(unsigned64(fields.get(OUTPUT))),
  ]);
  t.same(found, [
    [0, 65_535],
    [0, 0],
  ]);
});

const HUGE = { ...CURL_FLOW, packets: 7_000_000, octets: 10_000_000_000 };

t.test('a flow of 10^10 octets is several records that sum up to it', async (t) => {
  const { sweep, transport } = await recordExport(5);
  await sweep([CURL_FLOW, HUGE, CURL_FLOW]);
  const records = exportedRecords(transport.messages);
  t.equal(records.length, 5);
  const sum = (key: string): bigint =>
    records.reduce((total, { fields }) => total + unsigned64(fields.get(key)), 0n);
  t.equal(sum(OCTETS), 10_000_000_000n + 2n * 4567n);
  t.equal(sum(PACKETS), 7_000_000n + 2n * 23n);
  t.same(sequenceGaps(decodeExport(transport.messages)), [], 'each is counted in the sequence');
});

const skip = missingRequirement('nfcapd', 'nfdump');
for (const version of [1, 5] as const) {
  t.test(`nfdump reads v${version} with the same totals`, { skip }, async (t) => {
    const { sweep, transport } = await recordExport(version);
    await sweep([...Array.from({ length: 100 }, () => CURL_FLOW), LOOPBACK_FLOW, HUGE]);
    const collector = await startDefaultNfcapd(t);
    const socket = createSocket('udp4');
    t.teardown(() => socket.close());
    for (const message of transport.messages) {
      await new Promise((resolve) => {
        socket.send(message, collector.port, '127.0.0.1', resolve);
      });
    }
    await collector.stop();
    const summary = collector.nfdump('-I');
    const total = (name: string): number =>
      Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(summary)?.[1]);
    t.equal(total('Flows'), 104);
    t.equal(total('Packets'), 100 * 23 + 2 + 7_000_000);
    t.equal(total('Bytes'), 100 * 4567 + 168 + 10_000_000_000);
    t.equal(total('Sequence failures'), 0);
    const lines = collector.nfdump('-q', '-N', '-o', 'fmt:%ts;%te;%sa;%da;%sp;%dp', 'proto tcp');
    t.match(lines, /2024-01-02 04:04:04.250;2024-01-02 04:04:05.249; +192.0.2.1/);
  });
}
