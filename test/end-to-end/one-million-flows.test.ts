// The largest burst: a million flows expire in one sweep, and a collector on the same machine that came
// with the system's default socket buffer has all of them.
import t from 'tap';
import { createExportingProcess } from '../../src/exporter/exporting-process.js';
import { createUdpTransport } from '../../src/exporter/transports/udp-transport.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { startDefaultNfcapd } from '../support/default-nfcapd.js';
import { CURL_FLOW } from '../support/described-flows.js';
import { flowBatch } from '../support/flow-description.js';
import { sumTotals } from '../support/nfcapd.js';
import { DIRECTORY, FakeClock } from '../support/recorded-export.js';

const FLOWS = 1_000_000;
/** As many as a sweep hands over at a time, about. */
const BATCH = 1000;
const OCTETS_PER_PACKET = 100;
const F = FLOW_RECORD.fields;

/** Batches in one buffer, as in a sweep; flow n is from another address and has n packets. */
function* millionFlows(): Generator<{ bytes: Buffer; count: number }> {
  const batch = flowBatch(Array.from({ length: BATCH }, () => CURL_FLOW));
  for (let first = 1; first <= FLOWS; first += BATCH) {
    for (let i = 0; i < BATCH; i++) {
      const at = i * FLOW_RECORD.size;
      batch.bytes.writeUInt32BE(0x0a000000 + first + i, at + F.source_address.offset);
      batch.bytes.writeUInt32LE(first + i, at + F.packets.offset);
      batch.bytes.writeUInt32LE((first + i) * OCTETS_PER_PACKET, at + F.octets.offset);
    }
    yield batch;
  }
}

t.test('a million flows of one sweep reach nfcapd, with the defaults of both', async (t) => {
  const nfcapd = await startDefaultNfcapd(t);
  const exporter = createExportingProcess(
    {
      version: 9,
      observationDomainId: 3,
      templateRefreshMs: 60_000,
      maxMessageOctets: 1372,
      clock: new FakeClock(),
      directory: DIRECTORY,
    },
    createUdpTransport({ host: '127.0.0.1', port: nfcapd.port }),
  );
  await exporter.open();
  const begun = performance.now();
  for (const batch of millionFlows()) await exporter.write(batch);
  await exporter.close();
  t.comment(`${((performance.now() - begun) / 1000).toFixed(1)} s`);
  t.match(exporter.statistics(), { records: FLOWS, lostRecords: 0, refusals: 0, sendErrors: 0 });

  const { drops, lines } = await nfcapd.stop();
  t.equal(drops, 0, 'its socket had room for each datagram');
  const packets = (FLOWS * (FLOWS + 1)) / 2;
  const octets = packets * OCTETS_PER_PACKET;
  const expected = { flows: FLOWS, packets, octets, sequenceErrors: 0, badPackets: 0 };
  t.same(sumTotals(lines), expected, 'nfcapd');
  const stored = nfcapd.nfdump('-I');
  for (const [label, value] of [
    ['Flows', FLOWS],
    ['Packets', packets],
    ['Bytes', octets],
    ['Sequence failures', 0],
  ] as const) {
    t.match(stored, new RegExp(`^${label}: ${value}$`, 'm'), `in the file, ${label}: ${value}`);
  }
});
