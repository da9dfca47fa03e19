import t from 'tap';
import { exportSummaryLines, meteredText, liveSummaryLines } from '../../src/cli/summary-text.js';
import type { ExportSummary } from '../../src/daemon/run-meter.js';
import { METER_COUNTER } from '../../src/flow/flow-contract.gen.js';
import type { MeterCounters } from '../../src/flow/flow-source.js';

const ZERO = Object.fromEntries(
  Object.keys(METER_COUNTER).map((name) => [name, 0]),
) as MeterCounters;

const NO_FLOWS = { methods: {}, unknownPackets: {} };

const EXPORTED = {
  destination: 'udp://192.0.2.1:9995',
  messages: 2,
  octets: 900,
  records: 4,
  templates: 2,
  sendErrors: 0,
  lostRecords: 0,
  refusals: 0,
  optionsRecords: 0,
  lostPackets: 0,
  lostOctets: 0,
  firstLossMs: undefined,
  lastLossMs: undefined,
  newSessions: 0,
  takenOverRecords: 0,
  keptRecords: 0,
  keptMessages: 0,
  notExportable: 0,
  biflows: 0,
  crowdedOutRecords: 0,
  truncatedFields: 0,
  clampedTimes: 0,
  lastError: undefined,
};

const SUMMARY: ExportSummary = {
  durationMs: 12_345,
  records: 4,
  packets: 23,
  octets: 1840,
  endReasons: { FLOW_END_IDLE_TIMEOUT: 3, FLOW_END_FORCED: 1 },
  attribution: {
    methods: {
      ATTRIBUTION_UNKNOWN: { packets: 3, records: 2 },
      ATTRIBUTION_SOCKET: { packets: 2000, records: 12 },
      ATTRIBUTION_REVERSE_FLOW: { packets: 1, records: 1 },
    },
    unknownPackets: { REASON_NO_SOCKET: 1, REASON_NO_OWNER: 2 },
  },
  counters: { ...ZERO, METERED_PACKETS: 23 },
  errors: { sweeps: 0, rescans: 0, sinks: 0, recordsNotWritten: 0 },
  flowsLeftBehind: 0,
  deleted: { records: 0, packets: 0, octets: 0 },
  processes: { known: 99, evicted: 0, healed: 0, notFound: 0, postponed: 0, failedReads: 0 },
  exported: [EXPORTED],
};

t.test('a summary says what was metered, what was sent, and that nothing was lost', async (t) => {
  const [first, attribution, second, third, ...counters] = exportSummaryLines(SUMMARY);
  t.equal(first, '4 flow records, 23 packets, 1840 octets in 12.3 s (idle timeout 3, forced 1)');
  t.equal(
    attribution,
    'attribution: socket 2000 packets in 12 records (99.8 %), ' +
      'reverse-flow 1 packets in 1 records (0.0 %), ' +
      'unknown 3 packets in 2 records (0.1 %: socket without owner 2, no socket 1)',
  );
  t.equal(second, 'sent 4 records in 2 messages of together 900 bytes, and 2 templates');
  t.equal(third, 'nothing was lost');
  t.equal(counters.length, Object.keys(METER_COUNTER).length - 1);
  t.match(counters[0], /^ {2}METERED_PACKETS +23$/);
});

t.test('every kind of loss has a line', async (t) => {
  const lines = exportSummaryLines({
    ...SUMMARY,
    counters: { ...ZERO, LOST_PACKETS: 1, CACHE_FULL_PACKETS: 2, OWNERS_NOT_STORED: 3 },
    errors: { sweeps: 4, rescans: 5, sinks: 6, recordsNotWritten: 7 },
    flowsLeftBehind: 13,
    exported: [
      {
        ...EXPORTED,
        sendErrors: 8,
        lostRecords: 8,
        lastError: 'send to 192.0.2.1:9995: EPERM',
        refusals: 9,
        notExportable: 10,
        truncatedFields: 11,
        clampedTimes: 12,
      },
    ],
  });
  const losses = lines.filter((line) => line.startsWith('LOSS: '));
  t.same(
    losses.map((line) => Number(/\d+/.exec(line)?.[0])),
    [1, 3, 4, 5, 6, 7, 13, 8, 8, 9, 10, 11, 12],
  );
  t.match(losses[8], 'EPERM');
  t.match(lines.join('\n'), /^the cache was full: 2 packets/m, 'no loss, but worth a line');
  t.notOk(lines.includes('nothing was lost'));
});

t.test('of several collectors each has lines of its own', async (t) => {
  const other = { ...EXPORTED, destination: 'tcp://192.0.2.2:4739', optionsRecords: 7 };
  const exported = [{ ...EXPORTED, lostRecords: 3, lostPackets: 4, lostOctets: 5 }, other];
  const lines = exportSummaryLines({ ...SUMMARY, exported });
  t.same(
    lines.filter((line) => /^sent|^LOSS/.test(line)),
    [
      'sent to udp://192.0.2.1:9995 4 records in 2 messages of together 900 bytes, and 2 templates',
      'sent to tcp://192.0.2.2:4739 4 records in 2 messages of together 900 bytes, and 2 templates and 7 options records',
      'LOSS: 3 records (4 packets, 5 octets) in messages that could not be sent (udp://192.0.2.1:9995)',
    ],
  );
});

t.test('a collector that makes the sender wait loses nothing by being away', async (t) => {
  const exported = [{ ...EXPORTED, destination: 'tcp://192.0.2.2:4739', refusals: 3 }];
  const lines = exportSummaryLines({ ...SUMMARY, exported });
  t.ok(lines.some((line) => line.endsWith('it was away when looked for 3 times')));
  t.ok(lines.includes('nothing was lost'));
});

t.test('live shows the counters that tell of trouble, and only those', async (t) => {
  const trouble = {
    MALFORMED_PACKETS: 2,
    LOST_PACKETS: 1,
    LOST_OCTETS: 60,
    FRAGMENTS_UNMATCHED: 3,
  };
  const counters = { ...ZERO, METERED_PACKETS: 23, EXPIRY_DEFERRED: 5, ...trouble };
  const lines = liveSummaryLines({ ...SUMMARY, counters });
  t.same(lines.slice(2), [
    'LOSS: 1 packets that were not metered (60 octets): cache and ring buffer were full',
    '  MALFORMED_PACKETS    2',
    '  LOST_PACKETS         1',
    '  LOST_OCTETS          60',
    '  FRAGMENTS_UNMATCHED  3',
  ]);
  t.same(liveSummaryLines(SUMMARY).slice(2), ['nothing was lost']);
});

t.test('counters that could not be read are not given as zero', async (t) => {
  const lines = liveSummaryLines({
    ...SUMMARY,
    counters: undefined,
    endReasons: {},
    attribution: NO_FLOWS,
  });
  t.same(lines, [
    '4 flow records, 23 packets, 1840 octets in 12.3 s',
    "LOSS: 1 failure to read the kernel's counters",
  ]);
});

t.test('interfaces are named, up to a line of them', async (t) => {
  const names = Array.from({ length: 10 }, (_, i) => `v${i}`);
  t.equal(meteredText({ interfaces: [] }), 'no interface yet');
  t.equal(meteredText({ interfaces: ['lo', 'eth0'] }), 'lo, eth0');
  t.equal(meteredText({ interfaces: names.slice(0, 8) }), 'v0, v1, v2, v3, v4, v5, v6, v7');
  t.equal(meteredText({ interfaces: names }), 'v0, v1, v2, v3, v4, v5, v6, v7 and 2 more');
});

t.test('how well processes were known has a line where something was amiss', async (t) => {
  const counts = { evicted: 1, healed: 2, notFound: 3, postponed: 4, failedReads: 5 };
  const processes = { known: 99, ...counts };
  const line =
    'processes: 99 known, 1 forgotten for want of room, 2 looked up in /proc, 3 not found, ' +
    '4 times not looked up at once, 5 failed reads of events';
  t.ok(exportSummaryLines({ ...SUMMARY, processes }).includes(line));
  t.ok(liveSummaryLines({ ...SUMMARY, processes }).includes(line));
  t.notMatch(exportSummaryLines(SUMMARY).join('\n'), 'processes:');
});
