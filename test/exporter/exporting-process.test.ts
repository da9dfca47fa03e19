// What the exporting process does from sweep to sweep: templates, sequence numbers, losses.
import t from 'tap';
import { createExportingProcess } from '../../src/exporter/exporting-process.js';
import { ExportError } from '../../src/exporter/export-error.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { NO_SAMPLING } from '../../src/flow/sampling.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../support/described-flows.js';
import { decodeExport } from '../support/exported-messages.js';
import { flowBatch } from '../support/flow-description.js';
import {
  DIRECTORY,
  FakeClock,
  RecordingTransport,
  recordExport,
} from '../support/recorded-export.js';
import { ScriptedTransport } from '../support/scripted-transport.js';

const NO_LOSSES = { packets: 0, octets: 0, firstMs: undefined, lastMs: undefined };
const MINUTE_NS = 60_000_000_000n;
const DAY_NS = 1440n * MINUTE_NS;

interface V9Header {
  readonly count: number;
  readonly sysUptime: number;
  readonly unixSecs: number;
  readonly sequenceNumber: number;
}

function v9Header(message: Buffer | undefined): V9Header {
  if (message === undefined) throw new Error('no such message');
  return {
    count: message.readUInt16BE(2),
    sysUptime: message.readUInt32BE(4),
    unixSecs: message.readUInt32BE(8),
    sequenceNumber: message.readUInt32BE(12),
  };
}

/** Ids of the sets in a message, behind a header of `octets`. */
function setIds(message: Buffer, headerOctets: number): number[] {
  const ids: number[] = [];
  for (let at = headerOctets; at < message.length; at += message.readUInt16BE(at + 2)) {
    ids.push(message.readUInt16BE(at));
  }
  return ids;
}

t.test('templates go out again when their interval is over, also within a sweep', async (t) => {
  const { sweep, exporter, transport, clock } = await recordExport(10);
  const ids = (): number[][] => transport.messages.map((message) => setIds(message, 16));
  await sweep([CURL_FLOW]);
  await sweep([CURL_FLOW]);
  t.same(ids(), [[2], [256], [256]], 'not before');
  clock.now += MINUTE_NS;
  await sweep([]);
  t.same(ids().slice(3), [[2]], 'a sweep without flows refreshes them too');
  await exporter.write(flowBatch([CURL_FLOW]));
  clock.now += MINUTE_NS;
  await exporter.flush();
  await exporter.drain(1000);
  t.same(ids().slice(4), [[2], [256]], 'before the message that is then sent');
  t.equal(exporter.statistics().templates, 6);
});

t.test('IPFIX sequence numbers count data records, template records not', async (t) => {
  const { sweep, transport, clock } = await recordExport(10);
  await sweep([CURL_FLOW, LOOPBACK_FLOW, PING_FLOW]);
  clock.now += MINUTE_NS;
  await sweep([CURL_FLOW]);
  const numbers = decodeExport(transport.messages).map(({ sequenceNumber }) => sequenceNumber);
  t.same(numbers, [0, 0, 3, 3]);
});

t.test('v9 sequence numbers count messages, and count counts all records', async (t) => {
  const { sweep, transport, clock } = await recordExport(9);
  await sweep([CURL_FLOW, LOOPBACK_FLOW, PING_FLOW]);
  clock.now += MINUTE_NS;
  await sweep([CURL_FLOW]);
  const headers = transport.messages.map(v9Header);
  t.same(
    headers.map(({ sequenceNumber, count }) => [sequenceNumber, count]),
    [
      [0, 2],
      [1, 3],
      [2, 2],
      [3, 1],
    ],
  );
});

t.test('flows of both families share a message, in one set each', async (t) => {
  const flows = [CURL_FLOW, PING_FLOW, CURL_FLOW, PING_FLOW];
  const ipfix = await recordExport(10);
  await ipfix.sweep(flows);
  t.same(setIds(ipfix.transport.messages[1] ?? Buffer.alloc(0), 16), [256, 257]);
  const v9 = await recordExport(9);
  await v9.sweep(flows);
  t.same(setIds(v9.transport.messages[1] ?? Buffer.alloc(0), 20), [256, 257]);
});

t.test('a message that is lost is counted, and leaves a gap in the sequence', async (t) => {
  const { sweep, exporter, transport } = await recordExport(10);
  await sweep([CURL_FLOW]);
  transport.failure = new ExportError('send', 'send a message', 'ENOBUFS');
  await sweep([CURL_FLOW, LOOPBACK_FLOW]);
  await sweep([CURL_FLOW]);
  const statistics = exporter.statistics();
  t.match(statistics, { messages: 3, records: 2, lostRecords: 2, sendErrors: 1 });
  t.equal(statistics.lastError, 'send a message: ENOBUFS');
  t.equal(transport.messages[2]?.readUInt32BE(8), 3, 'the number counts the lost records');
});

t.test('a collector that did not listen gets the templates again', async (t) => {
  const { sweep, transport } = await recordExport(10);
  await sweep([CURL_FLOW]);
  transport.refused = 1;
  await sweep([CURL_FLOW]);
  await sweep([CURL_FLOW]);
  const ids = transport.messages.map((message) => setIds(message, 16));
  t.same(ids, [[2], [256], [2], [256], [256]]);
});

t.test('records that are neither IPv4 nor IPv6 are counted', async (t) => {
  const { exporter, transport } = await recordExport(10);
  const batch = flowBatch([CURL_FLOW, CURL_FLOW]);
  batch.bytes[FLOW_RECORD.fields.ip_version.offset] = 5;
  await exporter.write(batch);
  await exporter.flush();
  await exporter.drain(1000);
  t.match(exporter.statistics(), { records: 1, notExportable: 1 });
  t.equal(transport.messages.length, 2);
});

t.test('names that are too long are cut and counted', async (t) => {
  const directory = { ...DIRECTORY, userNameBytes: () => Buffer.from('ö'.repeat(40)) };
  const { sweep, exporter, transport } = await recordExport(9, { directory });
  await sweep([CURL_FLOW]);
  const message = transport.messages[1]?.toString('latin1') ?? '';
  t.ok(message.includes(Buffer.from('ö'.repeat(15)).toString('latin1') + '\0\0'));
  t.equal(exporter.statistics().truncatedFields, 1);
});

t.test('a step of the clock moves the times of the next sweep', async (t) => {
  const { sweep, transport, clock } = await recordExport(9);
  const zeroMs = (at: number): number => {
    const { unixSecs, sysUptime } = v9Header(transport.messages[at]);
    return unixSecs * 1000 - sysUptime;
  };
  await sweep([CURL_FLOW]);
  clock.epochMs += 12_345;
  await sweep([CURL_FLOW]);
  t.equal(zeroMs(2) - zeroMs(1), 12_345);
});

t.test('sysUptime starts anew instead of wrapping, and templates go out with it', async (t) => {
  const { sweep, transport, clock, exporter } = await recordExport(9, { templateRefreshMs: 2e9 });
  await sweep([CURL_FLOW]);
  clock.now += 47n * DAY_NS;
  await sweep([]);
  t.equal(v9Header(transport.messages[2]).sysUptime, 48 * 86_400_000 + 750, 'templates are due');
  clock.now += 2n * DAY_NS;
  const lastNs = clock.now - 1000n;
  await sweep([{ ...CURL_FLOW, firstNs: lastNs - 2n * DAY_NS, lastNs }]);
  t.equal(transport.messages.length, 5, 'templates and data');
  t.equal(v9Header(transport.messages[4]).sysUptime, 86_400_750);
  t.equal(transport.messages[4]?.readUInt32BE(24), 0, 'a start before the new zero is at zero');
  t.equal(exporter.statistics().clampedTimes, 1);
});

t.test('what cannot be met is refused with its reason', async (t) => {
  const base = {
    version: 9,
    observationDomainId: 1,
    templateRefreshMs: 60_000,
    maxMessageOctets: 1372,
    clock: new FakeClock(),
    directory: DIRECTORY,
  } as const;
  const cases = [
    {
      change: { maxMessageOctets: 200 },
      message: /^send messages of at most 200 octets: .* can have \d+$/,
    },
    { change: { maxMessageOctets: 70_000 }, message: /maxMessageOctets/ },
    { change: { observationDomainId: -1 }, message: /observationDomainId/ },
    { change: { templateRefreshMs: 0.5 }, message: /templateRefreshMs/ },
    { change: { templateRefreshMessages: 0 }, message: /templateRefreshMessages/ },
    { change: { messagesPerSecond: 0 }, message: /messagesPerSecond/ },
  ];
  for (const { change, message } of cases) {
    const create = (): unknown =>
      createExportingProcess({ ...base, ...change }, new RecordingTransport());
    t.throws(create, { name: 'ExportError', code: 'bad-option', message });
  }
});

t.test('it must be open to be written to', async (t) => {
  const { exporter, transport } = await recordExport(10);
  await exporter.write(flowBatch([CURL_FLOW]));
  await exporter.close();
  t.equal(transport.messages.length, 2, 'close() flushes');
  t.notOk(transport.isOpen);
  await t.rejects(exporter.write(flowBatch([CURL_FLOW])), { code: 'not-open' });
  await exporter.close();
});

for (const { version, isReliable, expected } of [
  { version: 10, isReliable: true, expected: 0 },
  { version: 10, isReliable: false, expected: 1 },
  { version: 9, isReliable: true, expected: 2 },
  { version: 9, isReliable: false, expected: 2 },
  { version: 5, isReliable: true, expected: 1 },
] as const) {
  const way = isReliable ? 'another session' : 'another UDP socket';
  t.test(`version ${version}, ${way}: the sequence goes on from ${expected}`, async (t) => {
    const { sweep, transport } = await recordExport(version);
    transport.isReliable = isReliable;
    await sweep([CURL_FLOW]);
    const before = transport.messages.length;
    transport.session = 2;
    await sweep([CURL_FLOW]);
    const at = { 5: 16, 9: 12, 10: 8 }[version];
    t.equal(transport.messages[before]?.readUInt32BE(at), expected);
  });
}

t.test('what options need is asked for when they are', async (t) => {
  const status = { sampling: NO_SAMPLING, interfaces: () => [], losses: () => NO_LOSSES };
  const templates = { profile: ['octetDeltaCount'] } as const;
  const least = { maxMessageOctets: 64, templates };
  await t.rejects(
    recordExport(10, { ...least, status }),
    /with a single options record, or template, has \d+$/,
  );
  await t.resolves(recordExport(10, { ...least, status, optionsKinds: new Set() }));
  const names = { ...templates, hasApplicationId: true };
  await t.rejects(
    recordExport(10, { maxMessageOctets: 64, templates: names }),
    /64 octets: one with/,
  );
});

t.test('the end is not put off for ever by a collector that takes little', async (t) => {
  const { exporter, transport } = await recordExport(10, {
    messagesPerSecond: 40,
    maxMessageOctets: 512,
  });
  await exporter.write(flowBatch(Array.from({ length: 400 }, () => CURL_FLOW)));
  const startMs = performance.now();
  await exporter.flush();
  await exporter.drain(1000, 300);
  t.ok(performance.now() - startMs < 1000, 'moving, and broken off all the same');
  t.ok(transport.messages.length < 100);
});

t.test('templates are sent again on request, where they are of use', async (t) => {
  const { sweep, exporter, transport } = await recordExport(10);
  await sweep([CURL_FLOW]);
  t.equal(exporter.resendTemplates(), 'now');
  await exporter.drain(1000);
  t.same(
    transport.messages.map((message) => setIds(message, 16)),
    [[2], [256], [2]],
    'at once',
  );
  t.equal((await recordExport(5)).exporter.resendTemplates(), 'no templates');
  const reliable = new RecordingTransport();
  reliable.isReliable = true;
  t.equal((await recordExport(10, {}, reliable)).exporter.resendTemplates(), 'once a session');
});

t.test('an exporter that is abandoned waits for nobody and counts what it leaves', async (t) => {
  const transport = new ScriptedTransport();
  transport.permits = 0;
  const options = { version: 10, observationDomainId: 7, templateRefreshMs: 60_000 } as const;
  const exporter = createExportingProcess(
    {
      ...options,
      ...{ maxMessageOctets: 512, backlogOctets: 4096 },
      ...{ clock: new FakeClock(), directory: DIRECTORY },
    },
    transport,
  );
  await exporter.open();
  const writing = exporter.write(flowBatch(Array.from({ length: 400 }, () => CURL_FLOW)));
  await transport.until(() => true);
  exporter.abandon();
  await writing;
  await exporter.flush();
  await exporter.close();
  const { lostRecords, records, lastError } = exporter.statistics();
  t.same({ lostRecords, records }, { lostRecords: 400, records: 0 });
  t.match(lastError, /ended before/);
});
