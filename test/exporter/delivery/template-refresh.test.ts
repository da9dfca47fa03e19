// How often collectors are told templates, and that they are never withdrawn; and how fast messages go.
import t from 'tap';
import { createExportingProcess } from '../../../src/exporter/exporting-process.js';
import { CURL_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { sequenceGaps } from '../../support/decoder/sequence-check.js';
import { decodeExport } from '../../support/exported-messages.js';
import { flowBatch } from '../../support/flow-description.js';
import {
  DIRECTORY,
  FakeClock,
  RecordingTransport,
  recordExport,
} from '../../support/recorded-export.js';

const SECOND_NS = 1_000_000_000n;

for (const version of [9, 10] as const) {
  t.test(`v${version}: over UDP templates come again by time and by messages`, async (t) => {
    const options = { templateRefreshMs: 10_000, templateRefreshMessages: 4 };
    const { sweep, transport, clock, exporter } = await recordExport(version, options);
    for (let i = 0; i < 20; i++) {
      await sweep([CURL_FLOW, PING_FLOW]);
      clock.now += i < 8 ? SECOND_NS : 4n * SECOND_NS;
    }
    await exporter.close();
    const messages = decodeExport(transport.messages);
    const kinds = messages.map(({ templates }) => (templates.length > 0 ? 'T' : 'F')).join('');
    // One a second: four are enough. One each four seconds: ten seconds are over after three.
    // And once more at the end, when they are due again.
    t.equal(kinds, 'TFFFFTFFFF' + 'TFFF'.repeat(4) + 'T');
    t.ok(
      messages.every(({ withdrawals }) => withdrawals.length === 0),
      'RFC 7011 §8.4: none is withdrawn over UDP, at the end neither',
    );
    t.same(sequenceGaps(messages), []);
    const ids = messages.flatMap(({ templates }) => templates.map(({ id }) => id));
    t.same([...new Set(ids)], [256, 257], 'and all have the same ids each time');
  });
}

async function exportBy(transport: RecordingTransport, flows: number): Promise<number> {
  const exporter = createExportingProcess(
    {
      version: 10,
      observationDomainId: 1,
      templateRefreshMs: 1000,
      templateRefreshMessages: 1,
      maxMessageOctets: 512,
      messagesPerSecond: 20,
      clock: new FakeClock(),
      directory: DIRECTORY,
    },
    transport,
  );
  await exporter.open();
  const startMs = performance.now();
  await exporter.write(flowBatch(Array.from({ length: flows }, () => CURL_FLOW)));
  await exporter.flush();
  await exporter.drain(5000);
  const tookMs = performance.now() - startMs;
  await exporter.close();
  return tookMs;
}

t.test('a stream is told templates once, and is not paced', async (t) => {
  const stream = new RecordingTransport();
  stream.isReliable = true;
  const fastMs = await exportBy(stream, 200);
  const kinds = decodeExport(stream.messages).map(({ templates }) => templates.length);
  t.ok(kinds.length > 50, `${kinds.length} messages`);
  // Two messages: a template each fits into 512 octets.
  t.equal(
    kinds.reduce((sum, count) => sum + count, 0),
    2,
  );
  t.ok(fastMs < 1000, `${fastMs} ms`);

  const datagrams = new RecordingTransport();
  const slowMs = await exportBy(datagrams, 100);
  // A burst of 32 goes at once, the others at 20 a second.
  const paced = datagrams.messages.length - 32;
  t.ok(paced > 10 && slowMs > (paced - 2) * 50, `${datagrams.messages.length} in ${slowMs} ms`);
});
