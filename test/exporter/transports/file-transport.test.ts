// Real files: what is in them and when they appear; tshark reads those of the exporting process.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createExportingProcess } from '../../../src/exporter/exporting-process.js';
import type { MessageTransport } from '../../../src/exporter/delivery/message-transport.js';
import { createFileTransport } from '../../../src/exporter/transports/file-transport.js';
import type { FileTransportOptions } from '../../../src/exporter/transports/file-transport.js';
import { ChangingName } from '../../support/changing-name.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { flowBatch } from '../../support/flow-description.js';
import { tshark, tsharkComplaints } from '../../support/pcap.js';
import type { Teardown } from '../../support/program.js';
import { DIRECTORY, FakeClock } from '../../support/recorded-export.js';
import { deliver, eventually, numberedMessage } from '../../support/tcp-collector.js';

const OCTETS = 1000;
const NOW_MS = Date.UTC(2026, 10, 21, 15, 30, 0, 999);
const FIRST = 'flows-20261121T153000Z.ipfix';

function temporaryDirectory(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-files-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function openTransport(
  t: Teardown,
  directory: string,
  options: Partial<FileTransportOptions> = {},
): Promise<{ transport: MessageTransport; name: ChangingName }> {
  const name = new ChangingName();
  const path = join(directory, 'flows.ipfix');
  const own = { path, nowMs: () => NOW_MS, onNotice: name.notice, retryIntervalMs: 5 };
  const transport = createFileTransport({ ...own, ...options });
  await transport.open();
  t.teardown(() => transport.close());
  return { transport, name };
}

function messages(...numbers: readonly number[]): Buffer {
  return Buffer.concat(numbers.map((number) => numberedMessage(number, OCTETS)));
}

async function send(transport: MessageTransport, number: number): Promise<void> {
  await transport.send(numberedMessage(number, OCTETS), OCTETS);
}

t.test('a file has all messages of a run, and its name at the end', async (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['flows.ipfix', 'flows-1.ipfix', 'flows-2.ipfix']) {
    const { transport } = await openTransport(t, directory);
    t.equal(transport.destination, `file://${join(directory, 'flows.ipfix')}`);
    t.equal(await transport.ready(), 1);
    for (const number of [0, 1, 2]) await send(transport, number);
    t.equal(transport.confirmed(), 3);
    t.notOk(existsSync(join(directory, name)));
    t.ok(existsSync(join(directory, 'flows.ipfix.part')));
    await transport.close();
    t.same(readFileSync(join(directory, name)), messages(0, 1, 2), 'none is overwritten');
    t.equal(statSync(join(directory, name)).mode & 0o777, 0o640);
    t.notOk(existsSync(join(directory, 'flows.ipfix.part')));
    await t.rejects(send(transport, 3), { name: 'ExportError', code: 'not-open' });
    await t.rejects(transport.ready(), { code: 'not-open' });
  }
});

t.test('without a message there is no file', async (t) => {
  const directory = temporaryDirectory(t);
  const { transport } = await openTransport(t, directory, { rotateIntervalMs: 1 });
  await transport.ready();
  await transport.close();
  t.same(readdirSync(directory), []);
});

t.test('a file that has reached its size is followed by another', async (t) => {
  const directory = temporaryDirectory(t);
  const { transport } = await openTransport(t, directory, { rotateOctets: 2 * OCTETS });
  t.equal(await transport.ready(), 1);
  await send(transport, 0);
  t.equal(await transport.ready(), 1);
  await send(transport, 1);
  t.same(
    readdirSync(directory),
    ['flows.ipfix.part'],
    'the next message may still be told where to go',
  );
  t.equal(await transport.ready(), 2, 'a session of its own');
  t.equal(transport.confirmed(), 0);
  t.same(readdirSync(directory), [FIRST]);
  await send(transport, 2);
  await transport.close();
  const second = 'flows-20261121T153000Z-1.ipfix';
  t.same(readdirSync(directory).sort(), [second, FIRST]);
  t.same(readFileSync(join(directory, FIRST)), messages(0, 1));
  t.same(readFileSync(join(directory, second)), messages(2));
});

t.test('a file that has reached its age ends, also when no message comes', async (t) => {
  const directory = temporaryDirectory(t);
  const { transport } = await openTransport(t, directory, { rotateIntervalMs: 20 });
  t.equal(await transport.ready(), 1);
  await send(transport, 0);
  await eventually(() => existsSync(join(directory, FIRST)));
  const late = send(transport, 1);
  await t.rejects(late, { code: 'session-lost', message: /: the file has ended$/ });
  t.equal(transport.confirmed(), 1, 'the last word of that session');
  t.equal(await transport.ready(), 2);
  await send(transport, 1);
  await transport.close();
  t.same(readFileSync(join(directory, FIRST)), messages(0));
});

t.test('what a crash has left is kept, its whole messages', async (t) => {
  const directory = temporaryDirectory(t);
  const part = join(directory, 'flows.ipfix.part');
  writeFileSync(part, Buffer.concat([messages(0, 1), messages(2).subarray(0, 500)]));
  const { transport, name } = await openTransport(t, directory);
  const notice = await name.nextNotice();
  const kept = readdirSync(directory)[0] ?? '';
  t.match(kept, /^flows-\d{8}T\d{6}Z\.ipfix$/);
  t.equal(notice, `${part} was left by a run that broke off: now ${join(directory, kept)}`);
  t.same(readFileSync(join(directory, kept)), messages(0, 1));
  await transport.ready();
  await send(transport, 3);
  await transport.close();
  t.same(readFileSync(join(directory, 'flows.ipfix')), messages(3));

  writeFileSync(part, messages(0).subarray(0, 15));
  const second = await openTransport(t, directory);
  t.notOk(existsSync(part), 'no message, no file');
  t.same(second.name.notices, []);
});

const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it mounts a small file system';
t.test(
  'a full disk loses nothing: what is there is whole, the rest waits',
  { skip: needsRoot },
  async (t) => {
    const directory = join(temporaryDirectory(t), 'small');
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'procflow-test', directory]);
    t.teardown(() => void execFileSync('umount', [directory]));
    const ballast = join(directory, 'ballast');
    writeFileSync(ballast, Buffer.alloc(240_000));
    const { transport, name } = await openTransport(t, directory);
    const path = join(directory, 'flows.ipfix');
    const delivered = deliver(transport, 100, OCTETS);
    const notice = `${transport.destination} cannot be written: ENOSPC; messages wait`;
    t.equal(await name.nextNotice(), notice);
    await eventually(() => transport.refusals() >= 3);
    t.same(name.notices, [], 'said once');
    const first = readFileSync(path);
    const count = first.length / OCTETS;
    t.ok(count > 0 && count < 100);
    t.same(first, messages(...Array(count).keys()));
    unlinkSync(ballast);
    await delivered;
    await transport.close();
    const rest = Array.from({ length: 100 - count }, (_, i) => count + i);
    t.same(readFileSync(join(directory, 'flows-1.ipfix')), messages(...rest));
    t.same(readdirSync(directory).sort(), ['flows-1.ipfix', 'flows.ipfix']);
  },
);

/** A Template Set, an Options Template Set or a Data Set, with what is behind its header. */
function set(id: number, ...words: readonly number[]): Buffer {
  const bytes = Buffer.from(Uint16Array.of(id, 4 + 2 * words.length, ...words).buffer);
  return bytes.swap16();
}

function messageOf(...sets: readonly Buffer[]): Buffer {
  const octets = 16 + Buffer.concat(sets).length;
  return Buffer.concat([numberedMessage(0, octets).subarray(0, 16), ...sets]);
}

// templates 256 with octetDeltaCount, and options template 300 with a private element as its scope
const TEMPLATES = messageOf(
  set(2, 256, 1, 1, 8),
  set(3, 300, 2, 1, 0x8000 | 7, 4, 0, 35632, 41, 8),
);
const OPTIONS = messageOf(set(300, 0, 1, 0, 0, 0, 5));
const FLOWS = messageOf(set(256, 0, 0, 0, 9));

t.test('a file that fails before it has flows does not stay', { skip: needsRoot }, async (t) => {
  const directory = join(temporaryDirectory(t), 'small');
  mkdirSync(directory);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'procflow-test', directory]);
  t.teardown(() => void execFileSync('umount', [directory]));
  const ballast = join(directory, 'ballast');
  for (const { sent, files } of [
    { sent: [TEMPLATES, OPTIONS], files: [] },
    { sent: [TEMPLATES, OPTIONS, FLOWS], files: ['flows.ipfix'] },
  ]) {
    writeFileSync(ballast, Buffer.alloc(60_000));
    const { transport } = await openTransport(t, directory);
    await transport.ready();
    for (const message of sent) await transport.send(message, message.length);
    const large = numberedMessage(0, 20_000);
    await t.rejects(transport.send(large, large.length), { code: 'session-lost' });
    unlinkSync(ballast);
    t.same(readdirSync(directory), files);
    await transport.close();
  }
  t.same(readFileSync(join(directory, 'flows.ipfix')), Buffer.concat([TEMPLATES, OPTIONS, FLOWS]));
});

t.test('a file that cannot get its name is told of', async (t) => {
  const directory = temporaryDirectory(t);
  const { transport, name } = await openTransport(t, directory);
  await transport.ready();
  await send(transport, 0);
  unlinkSync(join(directory, 'flows.ipfix.part'));
  await transport.close();
  t.match(await name.nextNotice(), /flows\.ipfix\.part could not be finished and renamed: ENOENT/);
});

t.test('what procflow has not written is refused, and left as it is', async (t) => {
  const directory = temporaryDirectory(t);
  const part = join(directory, 'flows.ipfix.part');
  const precious = join(directory, 'precious.txt');
  writeFileSync(precious, messages(0).subarray(0, 500));
  const cases = [
    {
      make: () => symlinkSync(precious, part),
      message: /: it is not a regular file \(move it away/,
    },
    { make: () => mkdirSync(part), message: /: it is not a regular file \(/ },
    {
      make: () => writeFileSync(part, 'text'),
      message: /: it is not an IPFIX file \(move it away/,
    },
    // It begins as IPFIX does, but a message has more than 4 octets.
    { make: () => writeFileSync(part, '\0\n\0\x04 text'), message: /: it is not an IPFIX file/ },
  ];
  for (const { make, message } of cases) {
    make();
    const before = readdirSync(directory);
    const content = statSync(part).isDirectory() ? undefined : readFileSync(part);
    const transport = createFileTransport({ path: join(directory, 'flows.ipfix') });
    await t.rejects(transport.open(), { name: 'ExportError', code: 'connect', message });
    t.same(readdirSync(directory), before);
    if (content !== undefined) t.same(readFileSync(part), content);
    rmSync(part, { recursive: true });
  }
  t.equal(readFileSync(precious).length, 500);
});

t.test('a path is written by one exporter at a time', async (t) => {
  const directory = temporaryDirectory(t);
  const alias = join(directory, 'alias');
  symlinkSync(directory, alias);
  const { transport } = await openTransport(t, directory);
  await transport.ready();
  await send(transport, 0);
  for (const place of [directory, alias]) {
    const second = createFileTransport({ path: join(place, 'flows.ipfix') });
    const message = /^write to file:.*: another procflow writes there \(/;
    await t.rejects(second.open(), { name: 'ExportError', code: 'connect', message });
  }
  await openTransport(t, directory, { path: join(directory, 'others.ipfix') });
  await send(transport, 1);
  await transport.close();
  t.same(readFileSync(join(directory, 'flows.ipfix')), messages(0, 1));
  await openTransport(t, directory);
});

t.test('a file that gets another name, because its own is taken, is told of', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'flows.ipfix');
  writeFileSync(path, '');
  const { transport, name } = await openTransport(t, directory);
  await transport.ready();
  await send(transport, 0);
  await transport.close();
  const other = join(directory, 'flows-1.ipfix');
  t.same(name.notices, [`there is a file ${path} already: the new one is ${other}`]);
  t.same(readFileSync(other), messages(0));
});

t.test('a place where no file can be is an error at open()', async (t) => {
  const directory = temporaryDirectory(t);
  const cases = [
    { path: join(directory, 'no', 'flows'), message: /^write files in .*: ENOENT \(the directory/ },
    { path: directory, message: /: it is a directory$/ },
    { path: '/proc/flows', message: /^(create|write files in) \/proc.*: (ENOENT|EACCES) \(/ },
  ];
  for (const { path, message } of cases) {
    await t.rejects(createFileTransport({ path }).open(), { name: 'ExportError', message });
  }
});

t.test('tshark reads each file of the exporting process by itself', async (t) => {
  const directory = temporaryDirectory(t);
  const { transport } = await openTransport(t, directory, { rotateOctets: 50_000 });
  const exporter = createExportingProcess(
    {
      version: 10,
      observationDomainId: 3,
      templateRefreshMs: 60_000,
      maxMessageOctets: 1372,
      clock: new FakeClock(),
      directory: DIRECTORY,
    },
    transport,
  );
  await exporter.open();
  const sweeps = 20;
  const flows = Array.from({ length: 60 }, (_, i) => [CURL_FLOW, PING_FLOW, LOOPBACK_FLOW][i % 3]);
  const batch = flowBatch(flows.map((flow, i) => ({ ...(flow ?? CURL_FLOW), packets: i + 1 })));
  for (let i = 0; i < sweeps; i++) {
    await exporter.write(batch);
    await exporter.flush();
  }
  await exporter.drain(10_000);
  await exporter.close();
  t.match(exporter.statistics(), { records: 60 * sweeps, sendErrors: 0, lostRecords: 0 });
  const files = readdirSync(directory);
  t.ok(files.length > 2, `${files.length} files`);
  let packets = 0;
  let records = 0;
  for (const file of files) {
    const path = join(directory, file);
    t.equal(tsharkComplaints(path), '', file);
    const counts = tshark(path, ['-T', 'fields', '-e', 'cflow.packets']);
    for (const count of counts.split(/[\n,]/).filter((text) => text !== '')) {
      packets += Number(count);
      records++;
    }
  }
  t.equal(records, 60 * sweeps);
  t.equal(packets, sweeps * 30 * 61);
});
