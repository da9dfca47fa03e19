// A stream of flows through a real socket into nfcapd with its default buffers, and what tshark
// has to say about the same datagrams.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createExportingProcess } from '../../src/exporter/exporting-process.js';
import type { MessageTransport } from '../../src/exporter/delivery/message-transport.js';
import { loadExportSockets } from '../../src/bpf-loader/export-sockets.js';
import { createUdpTransport } from '../../src/exporter/transports/udp-transport.js';
import { startDefaultNfcapd } from '../support/default-nfcapd.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../support/described-flows.js';
import { flowBatch } from '../support/flow-description.js';
import type { FlowDescription } from '../support/flow-description.js';
import { tshark, tsharkComplaints, writePcap } from '../support/pcap.js';
import { FakeClock, directoryOf } from '../support/recorded-export.js';

const BATCH = 500;
const MAX_MESSAGE_OCTETS = 1372;

/** Every third of the three flows that the other tests know, with counters of its own. */
function describeFlow(i: number): FlowDescription {
  const flows = [CURL_FLOW, PING_FLOW, LOOPBACK_FLOW] as const;
  return { ...(flows[i % 3] ?? CURL_FLOW), packets: i + 1, octets: (i + 1) * 100 };
}

/** UDP, with a copy of each message. */
function recordingUdp(port: number, messages: Buffer[]): MessageTransport {
  const { openUdpSocket: openSocket, loadSendDatagrams } = loadExportSockets();
  const sendDatagrams = loadSendDatagrams();
  return createUdpTransport({
    ...{ host: '127.0.0.1', port, openSocket },
    sendDatagrams: (fd, datagrams) => {
      const sent = sendDatagrams(fd, datagrams);
      for (const datagram of datagrams.slice(0, Math.max(0, sent))) {
        messages.push(Buffer.from(datagram));
      }
      return sent;
    },
  });
}

const KNOWN = {
  parentPid: 700,
  parentName: 'bash',
  commandLine: 'curl --verbose '.repeat(30),
  containerId: '0123456789abcdef'.repeat(4),
};
/** Pacing is the same with long records: of these, no more than the socket buffer holds in any case. */
const CASES = [
  { version: 9, profile: 'process', flows: 3000 },
  { version: 10, profile: 'process', flows: 3000 },
  { version: 9, profile: 'full', flows: 150 },
  { version: 10, profile: 'full', flows: 150 },
] as const;

for (const { version, profile, flows } of CASES) {
  t.test(
    `nfcapd and tshark take ${flows} flows in version ${version}, ${profile}, without a loss`,
    async (t) => {
      const all = Array.from({ length: flows }, (_, i) => describeFlow(i));
      const packets = (flows * (flows + 1)) / 2;
      const nfcapd = await startDefaultNfcapd(t);
      const { port } = nfcapd;
      const messages: Buffer[] = [];
      const exporter = createExportingProcess(
        {
          version,
          observationDomainId: 3,
          templateRefreshMs: 60_000,
          maxMessageOctets: MAX_MESSAGE_OCTETS,
          clock: new FakeClock(),
          directory: directoryOf({ 1234: KNOWN, 5: KNOWN, 6: KNOWN }),
          templates: { profile },
        },
        recordingUdp(port, messages),
      );
      await exporter.open();
      for (let i = 0; i < flows; i += BATCH)
        await exporter.write(flowBatch(all.slice(i, i + BATCH)));
      await exporter.close();
      t.match(exporter.statistics(), { records: flows, templates: 2, sendErrors: 0, refusals: 0 });

      const { drops, lines } = await nfcapd.stop();
      t.equal(drops, 0, 'the socket buffer dropped nothing');
      const totals = `Flows: ${flows}, Packets: ${packets}, Bytes: ${packets * 100}, Sequence Errors: 0, Bad Packets: 0`;
      t.ok(
        lines.some((line) => line.includes(totals)),
        totals,
      );
      const summary = nfcapd.nfdump('-I');
      for (const [label, value] of [
        ['Flows', flows],
        ['Packets', packets],
        ['Bytes', packets * 100],
        ['Flows_icmp', flows / 3],
        ['Sequence failures', 0],
      ] as const) {
        t.ok(summary.includes(`\n${label}: ${value}\n`), `${label}: ${value}`);
      }

      t.ok(
        messages.every(({ length }) => length <= MAX_MESSAGE_OCTETS),
        'within the limit',
      );
      const directory = mkdtempSync(join(tmpdir(), 'procflow-collectors-'));
      t.teardown(() => rmSync(directory, { recursive: true }));
      const capture = join(directory, 'datagrams.pcap');
      writePcap(capture, messages);
      t.equal(tsharkComplaints(capture), '', 'no malformed message, lost template or sequence gap');
      const pids = tshark(capture, ['-T', 'fields', '-e', 'cflow.pie.ntop.src_proc_id']);
      const values = pids.split(/[\n,]/).filter((pid) => pid !== '');
      t.equal(values.length, flows);
      t.equal(values.filter((pid) => pid === '1234').length, flows / 3);
    },
  );
}
