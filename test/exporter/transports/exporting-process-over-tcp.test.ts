// The exporting process and TCP together: what collectors have when they end and come back.
import t from 'tap';
import { createExportingProcess } from '../../../src/exporter/exporting-process.js';
import type { ExportingProcess } from '../../../src/exporter/exporting-process.js';
import type { MessageTransport } from '../../../src/exporter/delivery/message-transport.js';
import { unsigned } from '../../support/decoder/field-values.js';
import { sequenceGaps } from '../../support/decoder/sequence-check.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { decodeExport, exportedRecords } from '../../support/exported-messages.js';
import { flowBatch } from '../../support/flow-description.js';
import { DIRECTORY, FakeClock } from '../../support/recorded-export.js';
import { TcpCollector } from '../../support/tcp-collector.js';
import { tcpTransport } from '../../support/tcp-transport.js';

const PACKETS = '0/2';
const BATCH = 500;

function exporterTo(transport: MessageTransport, backlogOctets: number): ExportingProcess {
  return createExportingProcess(
    {
      version: 10,
      observationDomainId: 3,
      templateRefreshMs: 60_000,
      maxMessageOctets: 1372,
      backlogOctets,
      clock: new FakeClock(),
      directory: DIRECTORY,
    },
    transport,
  );
}

/** Flows that are told apart by their packets: 1 to `count`. */
async function writeFlows(exporter: ExportingProcess, count: number): Promise<void> {
  for (let first = 0; first < count; first += BATCH) {
    const flows = Array.from({ length: BATCH }, (_, i) => ({
      ...CURL_FLOW,
      packets: first + i + 1,
    }));
    await exporter.write(flowBatch(flows));
  }
  await exporter.flush();
}

function packetsOf(messages: readonly Buffer[]): number[] {
  return exportedRecords(messages).map(({ fields }) => unsigned(fields.get(PACKETS)));
}

t.test('no flow is missing when collectors end; each connection stands for itself', async (t) => {
  const collector = await TcpCollector.listen(t);
  const transport = tcpTransport({
    host: '127.0.0.1',
    port: collector.port,
    reconnectIntervalMs: 0,
  });
  const exporter = exporterTo(transport, 2 ** 26);
  await exporter.open();
  const flows = 40_000;
  const written = writeFlows(exporter, flows);
  for (const n of [0, 1, 2]) {
    await collector.until(({ connections }) => (connections[n]?.messages.length ?? 0) > 20);
    collector.connections[n]?.socket.end();
  }
  await written;
  await exporter.drain(20_000);
  t.match(exporter.statistics(), { records: flows, lostRecords: 0, sendErrors: 0 });
  await exporter.close();
  t.equal(collector.connections.length, 4);
  await collector.allEnded();
  const seen = collector.connections.flatMap(({ messages }) => packetsOf(messages));
  t.equal(new Set(seen).size, flows);
  for (const { messages } of collector.connections) {
    const decoded = decodeExport(messages);
    t.same(sequenceGaps(decoded), [], 'without a gap');
    t.match(decoded[0], { sequenceNumber: 0, records: [] }, 'templates come first');
  }
});

t.test(
  'a collector that stalls costs what the backlog cannot hold, and that is counted',
  async (t) => {
    const collector = await TcpCollector.listen(t, { isPaused: true });
    const transport = tcpTransport({ host: '127.0.0.1', port: collector.port });
    const exporter = exporterTo(transport, 2 ** 21);
    await exporter.open();
    const flows = 80_000;
    await writeFlows(exporter, flows);
    collector.resume(0);
    await exporter.drain(20_000);
    const { records, lostRecords } = exporter.statistics();
    t.ok(lostRecords > 0, `${lostRecords} records found no room`);
    t.equal(records + lostRecords, flows);
    await exporter.close();
    const [connection] = collector.connections;
    await collector.allEnded();
    t.equal(packetsOf(connection?.messages ?? []).length, records);
  },
);
