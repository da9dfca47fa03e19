// Messages for a collector that is away, kept in files: over its outage and over our restart, in order,
// once; what does not fit, and files that cannot be used.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readExportConfig } from '../../src/daemon/export-config.js';
import {
  openExporters,
  type ExportContext,
  type OpenExporters,
} from '../../src/daemon/open-exporters.js';
import { NON_PROCESS_NAMES } from '../../src/flow/non-process-names.js';
import { NO_SAMPLING } from '../../src/flow/sampling.js';
import { unsigned } from '../support/decoder/field-values.js';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { CURL_FLOW } from '../support/described-flows.js';
import { decodeExport } from '../support/exported-messages.js';
import { flowBatch } from '../support/flow-description.js';
import { PROCFLOW } from '../support/procflow.js';
import { DIRECTORY, FakeClock } from '../support/recorded-export.js';
import { TcpCollector } from '../support/tcp-collector.js';

const PACKETS = '0/2';
const FLOWS_A_SWEEP = 1000;

interface Spooled extends OpenExporters {
  readonly notices: readonly string[];
  /** The flows have so many packets each, one after the other. */
  readonly sweep: (first: number) => Promise<void>;
  /** Without waiting for a collector that takes nothing. */
  readonly end: () => Promise<void>;
}

/** One run of the daemon's exporters. */
async function run(
  port: number,
  spool: string,
  others: { readonly spoolSize?: string; readonly profile?: string } = {},
): Promise<Spooled> {
  const losses = { packets: 0, octets: 0, firstMs: undefined, lastMs: undefined };
  const notices: string[] = [];
  const context: ExportContext = {
    clock: new FakeClock(),
    directory: DIRECTORY,
    nonProcessNames: NON_PROCESS_NAMES,
    status: { sampling: NO_SAMPLING, interfaces: () => [], losses: () => losses },
    observationDomainId: 77,
    sweepIntervalMs: 1000,
    maxFlows: 65_536,
    onNotice: (line) => notices.push(line),
  };
  const collector = [`tcp://127.0.0.1:${port}?reconnect=0.1`];
  const config = readExportConfig({ collector, spool, spoolSize: '16M', ...others });
  const exporters = await openExporters(config, context);
  const sinks = exporters.sinks;
  const sweep = async (first: number): Promise<void> => {
    const flows = Array.from({ length: FLOWS_A_SWEEP }, (_, i) => ({
      ...CURL_FLOW,
      packets: first + i,
    }));
    for (const sink of sinks) await sink.write(flowBatch(flows));
    for (const sink of sinks) await sink.flush();
  };
  const end = async (): Promise<void> => {
    exporters.abandon();
    for (const sink of sinks) await sink.close();
  };
  return { ...exporters, notices, sweep, end };
}

/** The packets of the flows that came by each connection. */
function received(collector: TcpCollector): number[] {
  return collector.connections.flatMap(({ messages }) => {
    const decoded = decodeExport(messages, { isStream: true });
    t.same(sequenceGaps(decoded), [], 'without a gap');
    const records = decoded.flatMap((message) => message.records).filter((r) => !r.isOptions);
    return records.map(({ fields }) => unsigned(fields.get(PACKETS)));
  });
}

function numbersUpTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

t.test('a collector that is away, and comes back after a restart, gets all in order', async (t) => {
  const spool = t.testdir({});
  const before = await TcpCollector.listen(t);
  const { port } = before;
  const first = await run(port, spool);
  for (let sweep = 0; sweep < 5; sweep++) await first.sweep(sweep * FLOWS_A_SWEEP + 1);
  await before.until(() => received(before).length === 5 * FLOWS_A_SWEEP);
  await first.drain(10_000);
  await before.stop();
  for (let sweep = 5; sweep < 15; sweep++) await first.sweep(sweep * FLOWS_A_SWEEP + 1);
  await first.end();
  t.match(first.statistics(), [
    { records: 5000, lostRecords: 0, keptRecords: 10_000, takenOverRecords: 0 },
  ]);

  // Nobody there this time either.
  const second = await run(port, spool);
  await second.sweep(15 * FLOWS_A_SWEEP + 1);
  await second.end();
  t.match(second.statistics(), [
    { records: 0, lostRecords: 0, keptRecords: 11_000, takenOverRecords: 10_000 },
  ]);

  const third = await run(port, spool);
  await third.sweep(16 * FLOWS_A_SWEEP + 1);
  const after = await TcpCollector.listen(t, { port });
  await third.drain(60_000);
  await third.sweep(17 * FLOWS_A_SWEEP + 1);
  for (const sink of third.sinks) await sink.close();
  await after.allEnded();
  t.match(third.statistics(), [
    { records: 13_000, lostRecords: 0, keptRecords: 0, takenOverRecords: 11_000 },
  ]);
  t.same([...received(before), ...received(after)], numbersUpTo(18 * FLOWS_A_SWEEP));
  t.same(
    [first, second, third]
      .flatMap(({ notices }) => notices)
      .filter((line) => line.includes('spool')),
    [],
  );
});

t.test('what does not fit is lost and counted, and the rest arrives', async (t) => {
  const spool = t.testdir({});
  const gone = await TcpCollector.listen(t);
  const { port } = gone;
  await gone.stop();
  const exporters = await run(port, spool, { spoolSize: '1M' });
  for (let sweep = 0; sweep < 12; sweep++) await exporters.sweep(sweep * FLOWS_A_SWEEP + 1);
  const [before] = exporters.statistics();
  if (before === undefined) throw new Error('unreachable');
  t.ok(before.lostRecords > 0);
  t.equal(before.lostOctets, before.lostRecords * Number(CURL_FLOW.octets));
  const collector = await TcpCollector.listen(t, { port });
  await exporters.drain(60_000);
  for (const sink of exporters.sinks) await sink.close();
  await collector.allEnded();
  const numbers = received(collector);
  t.equal(numbers.length + before.lostRecords, 12 * FLOWS_A_SWEEP);
  const lostPackets = numbersUpTo(12 * FLOWS_A_SWEEP).reduce((sum, number) => sum + number, 0);
  t.equal(before.lostPackets, lostPackets - numbers.reduce((sum, number) => sum + number, 0));
  t.same(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
    'in order',
  );
});

t.test('a spool is for one daemon at a time', async (t) => {
  const spool = t.testdir({});
  const collector = await TcpCollector.listen(t);
  const first = await run(collector.port, spool);
  await t.rejects(run(collector.port, spool), {
    name: 'ConfigError',
    message:
      /^--spool: open .*: EBUSY \(another procflow has it\) \(give each its own directory\)$/,
  });
  await first.end();
  const next = await run(collector.port, spool);
  await next.end();
});

t.test('a damaged file is moved aside, and said to be', async (t) => {
  const spool = t.testdir({});
  const gone = await TcpCollector.listen(t);
  const { port } = gone;
  await gone.stop();
  const first = await run(port, spool);
  await first.sweep(1);
  await first.end();
  const [name = ''] = readdirSync(spool);
  t.equal(name, `tcp-127.0.0.1-${port}.spool`);
  const path = join(spool, name);
  const bytes = readFileSync(path);
  bytes[9000] = (bytes[9000] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const second = await run(port, spool);
  t.match(second.notices, [
    /^\S+: take over a queue of messages: it is damaged: a wrong checksum at 8192; it is now \S+\.0$/,
  ]);
  await second.sweep(1);
  await second.end();
  t.match(second.statistics(), [{ takenOverRecords: 0, keptRecords: 1000 }]);
  t.same(readFileSync(`${path}.0`), bytes);

  const third = await run(port, spool, { profile: 'full' });
  t.match(third.notices, [/: its messages were encoded with other templates; it is now \S+\.1$/]);
  await third.end();

  writeFileSync(path, 'some text\n');
  const fourth = await run(port, spool);
  t.match(fourth.notices, [/it is damaged: it is too short; it is now \S+\.2$/]);
  await fourth.end();
});

t.test('another size holds from when the file is empty', async (t) => {
  const spool = t.testdir({});
  const gone = await TcpCollector.listen(t);
  const { port } = gone;
  await gone.stop();
  const first = await run(port, spool);
  await first.sweep(1);
  await first.end();
  const second = await run(port, spool, { spoolSize: '2M' });
  t.match(second.notices, [/keeps its size of 16777216 octets: there are messages in it$/]);
  const collector = await TcpCollector.listen(t, { port });
  await second.sweep(1);
  await second.drain(60_000);
  await second.end();
  await collector.stop();
  const third = await run(port, spool, { spoolSize: '2M' });
  await third.end();
  const [name = ''] = readdirSync(spool);
  t.equal(readFileSync(join(spool, name)).length, 2 * 2 ** 20);
});

const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it mounts a small file system';
t.test('a disk without room for it is known at the start', { skip: needsRoot }, async (t) => {
  const spool = t.testdir({});
  const script = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"';
  const command = ['export', '-i', 'lo', '-n', 'tcp://127.0.0.1:9', '--spool', spool];
  const { status, stderr } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', script, spool, ...PROCFLOW, ...command, '--spool-size', '4M'],
    { encoding: 'utf8' },
  );
  t.match(stderr, /--spool: take 4194304 octets of disk for \S+\/tcp-127.0.0.1-9.spool: ENOSPC/);
  t.equal(status, 2);
});
