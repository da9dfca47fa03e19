// Biflows with a queue that outlives the process: a record that waits for its reverse is in no message, and
// goes with a process that is killed. The next run counts it as lost.
import t from 'tap';
import { DurableMemory } from '../../../src/exporter/durable/durable-memory.js';
import { LEAST_QUEUE_OCTETS, MessageQueue } from '../../../src/exporter/durable/message-queue.js';
import {
  createExportingProcess,
  type ExportingProcess,
} from '../../../src/exporter/exporting-process.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { flowBatch } from '../../support/flow-description.js';
import { DIRECTORY, FakeClock } from '../../support/recorded-export.js';
import { ScriptedTransport } from '../../support/scripted-transport.js';

async function openRun(bytes: Buffer): Promise<ExportingProcess> {
  const exporter = createExportingProcess(
    {
      version: 10,
      templates: { isBiflow: true },
      observationDomainId: 3,
      templateRefreshMs: 60_000,
      maxMessageOctets: 1372,
      clock: new FakeClock(),
      directory: DIRECTORY,
      openQueue: (fingerprint) => ({
        queue: new MessageQueue(new DurableMemory(bytes), fingerprint),
        close: () => undefined,
      }),
    },
    new ScriptedTransport(),
  );
  await exporter.open();
  return exporter;
}

t.test('what waited for its reverse when a run was killed is counted by the next', async (t) => {
  const bytes = Buffer.alloc(Math.ceil(LEAST_QUEUE_OCTETS / 4096) * 4096);
  const first = await openRun(bytes);
  await first.write(flowBatch([{ ...CURL_FLOW, packets: 7, octets: 700 }]));
  const killed = Buffer.from(bytes);
  await first.close();

  const second = await openRun(killed);
  t.match(second.statistics(), {
    ...{ takenOverRecords: 0, lostRecords: 1, lostPackets: 7, lostOctets: 700 },
    lastError: 'the last run was killed while they waited for their reverse',
  });
  await second.close();

  const third = await openRun(bytes);
  t.match(
    third.statistics(),
    { takenOverRecords: 0, lostRecords: 0 },
    'not one that ended in order',
  );
  await third.close();
});
