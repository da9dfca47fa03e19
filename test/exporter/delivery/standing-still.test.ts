// What becomes of messages while an exporting process, or its collector, stands still.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { CURL_FLOW } from '../../support/described-flows.js';
import { flowBatch } from '../../support/flow-description.js';
import {
  DIRECTORY,
  RecordingTransport,
  recordExport,
  streamTransport,
} from '../../support/recorded-export.js';

const LONGER_THAN_PATIENCE_MS = 1100;

t.test('nothing is lost because the exporter itself stood still', async (t) => {
  let isDone = false;
  const standStill = (): void => {
    const begunMs = performance.now();
    while (!isDone && performance.now() - begunMs < LONGER_THAN_PATIENCE_MS);
    isDone = true;
  };
  const userNameBytes = (uid: number): Uint8Array => {
    if (uid === 4242) standStill();
    return DIRECTORY.userNameBytes(uid);
  };
  const transport = new RecordingTransport();
  const send = transport.send.bind(transport);
  // As a socket's does it, a message takes a turn of the event loop.
  transport.send = async (...message) => {
    await nextTurn();
    await send(...message);
  };
  const directory = { ...DIRECTORY, userNameBytes };
  const { exporter } = await recordExport(9, { backlogOctets: 20_000, directory }, transport);
  const slow = { ...CURL_FLOW, source: { pid: 1, uid: 4242, comm: 'slow' } };
  const flows = Array.from({ length: 1000 }, (_, i) => (i === 20 ? slow : CURL_FLOW));
  await exporter.write(flowBatch(flows));
  await exporter.close();
  t.ok(isDone);
  t.match(exporter.statistics(), { records: flows.length, lostRecords: 0 });
  t.ok(transport.messages.length > 100, 'the backlog was full several times');
});

t.test('a collector that takes nothing is awaited once, not for each message', async (t) => {
  const transport = streamTransport();
  transport.confirmed = () => 0;
  const { exporter } = await recordExport(10, { backlogOctets: 20_000 }, transport);
  const flows = Array.from({ length: 2000 }, () => CURL_FLOW);
  const begunMs = performance.now();
  await exporter.write(flowBatch(flows));
  t.ok(performance.now() - begunMs < 10_000);
  await exporter.close();
  const { records, lostRecords } = exporter.statistics();
  t.same({ records, lostRecords }, { records: 0, lostRecords: flows.length });
});
