// The time of day is set, and the host sleeps: what the times of each format say then.
import t from 'tap';
import { ntpTimeNs, unixTime, uptimeEpochMs } from '../../support/decoder/field-values.js';
import type { DecodedMessage } from '../../support/decoder/decoded-message.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { decodeExport } from '../../support/exported-messages.js';
import { flowBatch } from '../../support/flow-description.js';
import { BOOT_EPOCH_MS, NOW_NS, recordExport } from '../../support/recorded-export.js';

const FLOW = { ...CURL_FLOW, firstNs: NOW_NS - 2_000_000_000n, lastNs: NOW_NS - 1_000_000_000n };
const NOW_MS = BOOT_EPOCH_MS + 3_600_000;
const STEP_MS = 3_600_123;

/** Start and end of the message's flow, milliseconds since 1970. */
type ReadTimes = (message: DecodedMessage) => readonly [number, number];

const uptimes: ReadTimes = (message) => {
  const fields = message.records[0]?.fields;
  return [uptimeEpochMs(message, fields?.get('0/22')), uptimeEpochMs(message, fields?.get('0/21'))];
};

const FORMATS: readonly {
  readonly name: string;
  readonly version: 1 | 5 | 9 | 10;
  readonly timePrecision?: 'microseconds' | 'nanoseconds';
  readonly read: ReadTimes;
}[] = [
  { name: 'NetFlow v1', version: 1, read: uptimes },
  { name: 'NetFlow v5', version: 5, read: uptimes },
  { name: 'NetFlow v9', version: 9, read: uptimes },
  {
    name: 'IPFIX',
    version: 10,
    read: ({ records: [record] }) => [
      unixTime(record?.fields.get('0/152')),
      unixTime(record?.fields.get('0/153')),
    ],
  },
  {
    name: 'IPFIX in nanoseconds',
    version: 10,
    timePrecision: 'nanoseconds',
    read: ({ records: [record] }) => [
      Number(ntpTimeNs(record?.fields.get('0/156')) / 1_000_000n),
      Number(ntpTimeNs(record?.fields.get('0/157')) / 1_000_000n),
    ],
  },
];

for (const { name, version, timePrecision, read } of FORMATS) {
  const options = timePrecision === undefined ? {} : { templates: { timePrecision } };
  const dataOf = (messages: readonly Buffer[]): DecodedMessage[] =>
    decodeExport(messages).filter(({ records }) => records.length > 0);

  t.test(`${name}: a step of the clock moves the times of the next sweep`, async (t) => {
    const { sweep, transport, clock } = await recordExport(version, options);
    for (const step of [0, STEP_MS, -STEP_MS]) {
      clock.epochMs = BOOT_EPOCH_MS + step;
      await sweep([FLOW]);
    }
    const expected = [0, STEP_MS, -STEP_MS].map((step) => [
      NOW_MS + step - 2000,
      NOW_MS + step - 1000,
    ]);
    t.same(dataOf(transport.messages).map(read), expected);
  });

  t.test(`${name}: a step between a sweep and its messages moves nothing`, async (t) => {
    const { exporter, transport, clock } = await recordExport(version, options);
    await exporter.write(flowBatch([FLOW]));
    clock.epochMs += STEP_MS;
    await exporter.write(flowBatch([FLOW]));
    await exporter.flush();
    // Packed by the old clock, and sent by the new one.
    clock.epochMs -= 2 * STEP_MS;
    clock.now += 700_000_000n;
    await exporter.drain(1000);
    const [message] = dataOf(transport.messages);
    if (message === undefined) throw new Error('no message');
    t.same(read(message), [NOW_MS - 2000, NOW_MS - 1000]);
    t.equal(message.records.length, 2);
  });

  t.test(`${name}: the hours of a sleep count`, async (t) => {
    // CLOCK_BOOTTIME goes on, and so its difference to the time of day stays.
    const { sweep, transport, clock } = await recordExport(version, options);
    await sweep([FLOW]);
    const sleptNs = 9n * 3_600_000_000_000n;
    clock.now += sleptNs;
    await sweep([{ ...FLOW, lastNs: FLOW.lastNs + sleptNs }]);
    const sleptMs = Number(sleptNs / 1_000_000n);
    const message = dataOf(transport.messages).at(-1);
    if (message === undefined) throw new Error('no message');
    t.same(read(message), [NOW_MS - 2000, NOW_MS + sleptMs - 1000]);
    t.ok(message.exportTime * 1000 >= NOW_MS + sleptMs - 1000, 'and the header knows');
  });
}

t.test('no flow ends after the sysUptime of its message', async (t) => {
  for (const version of [1, 5, 9] as const) {
    const { sweep, transport, clock } = await recordExport(version);
    for (const fraction of [0, 1, 499_999, 500_000, 999_999]) {
      clock.now = NOW_NS - (NOW_NS % 1_000_000n) + BigInt(fraction);
      clock.epochMs = BOOT_EPOCH_MS + 0.7;
      await sweep([{ ...FLOW, lastNs: clock.now }]);
    }
    for (const message of decodeExport(transport.messages)) {
      const last = message.records[0]?.fields.get('0/21');
      if (last === undefined) continue;
      t.ok(last.readUInt32BE() <= (message.sysUptimeMs ?? 0), `NetFlow v${version}`);
    }
  }
});
