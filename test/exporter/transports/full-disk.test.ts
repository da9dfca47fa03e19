// The exporting process and IPFIX files on a disk that is full for a while: what is written can be read, what
// found no room is counted, and when there is room again it goes on.
import { execFileSync } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createExportingProcess } from '../../../src/exporter/exporting-process.js';
import { createFileTransport } from '../../../src/exporter/transports/file-transport.js';
import { unsigned } from '../../support/decoder/field-values.js';
import { MessageSplitter } from '../../support/decoder/message-splitter.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { decodeExport } from '../../support/exported-messages.js';
import { flowBatch } from '../../support/flow-description.js';
import { DIRECTORY, FakeClock } from '../../support/recorded-export.js';

const PACKETS = '0/2';
const FLOWS_A_SWEEP = 500;
const skip = process.getuid?.() === 0 ? false : 'needs root: it mounts a small file system';

/** The packets of the flows in a file, which begins with its templates. */
function packetsIn(path: string): number[] {
  const messages = [...new MessageSplitter().push(readFileSync(path))];
  const records = decodeExport(messages, { isStream: true }).flatMap((message) => message.records);
  const flows = records.filter(({ isOptions }) => !isOptions);
  return flows.map(({ fields }) => unsigned(fields.get(PACKETS)));
}

t.test(
  'a full disk costs what the backlog cannot hold, and that is counted',
  { skip },
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'procflow-full-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'procflow-test', directory]);
    t.teardown(() => {
      execFileSync('umount', [directory]);
      rmdirSync(directory);
    });
    const ballast = join(directory, 'ballast');
    writeFileSync(ballast, Buffer.alloc(900_000));
    const path = join(directory, 'flows.ipfix');
    const exporter = createExportingProcess(
      {
        version: 10,
        observationDomainId: 3,
        templateRefreshMs: 60_000,
        maxMessageOctets: 16_384,
        backlogOctets: 65_536,
        clock: new FakeClock(),
        directory: DIRECTORY,
      },
      createFileTransport({ path, retryIntervalMs: 20 }),
    );
    await exporter.open();
    let written = 0;
    const sweep = async (): Promise<void> => {
      const flows = Array.from({ length: FLOWS_A_SWEEP }, () => {
        return { ...CURL_FLOW, packets: ++written };
      });
      await exporter.write(flowBatch(flows));
      await exporter.flush();
    };
    while (exporter.statistics().lostRecords === 0) await sweep();
    unlinkSync(ballast);
    await exporter.drain(60_000);
    const { lostRecords, lostPackets } = exporter.statistics();
    for (let i = 0; i < 3; i++) await sweep();
    await exporter.drain(60_000);
    await exporter.close();
    t.match(exporter.statistics(), { lostRecords, records: written - lostRecords });

    const files = readdirSync(directory);
    t.ok(files.length > 1, files.join());
    t.notOk(files.some((name) => name.endsWith('.part')));
    const packets = files.flatMap((name) => packetsIn(join(directory, name)));
    t.equal(new Set(packets).size, written - lostRecords, 'each once');
    t.equal(packets.length, written - lostRecords);
    const sum = packets.reduce((all, one) => all + one, 0);
    t.equal(sum + lostPackets, (written * (written + 1)) / 2);
  },
);
