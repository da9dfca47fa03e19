// Process names for nfdump over IPFIX: an application id in each record, told before it is used.
import { mkdtempSync, rmSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { flowTemplate } from '../../../src/templates/flow-template.js';
import { parseProcessTextFormat } from '../../../src/templates/process-text-format.js';
import { startDefaultNfcapd } from '../../support/default-nfcapd.js';
import { CURL_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { decodeExport } from '../../support/exported-messages.js';
import { flowBatch, type FlowDescription } from '../../support/flow-description.js';
import { tsharkComplaints, writePcap } from '../../support/pcap.js';
import { directoryOf, recordExport } from '../../support/recorded-export.js';

const MINUTE_NS = 60_000_000_000n;
const WITH_ID = { hasApplicationId: true } as const;

function flowOf(comm: string, pid = 1234): FlowDescription {
  return { ...CURL_FLOW, source: { pid, uid: 1000, comm } };
}

/** What a collector knows the names of, message by message: "curl", or "?" for an id not told yet. */
function namesByMessage(messages: readonly Buffer[]): string[][] {
  const told = new Map<string, string>();
  return decodeExport(messages).map(({ records }) =>
    records.flatMap(({ isOptions, fields }) => {
      const id = fields.get('0/95')?.toString('hex') ?? '';
      if (!isOptions) return [told.get(id) ?? '?'];
      const name = fields.get('0/96')?.toString() ?? '';
      told.set(id, name.replace(/\0+$/, ''));
      return [];
    }),
  );
}

/** Names in options records, message by message. */
function toldByMessage(messages: readonly Buffer[]): string[][] {
  return decodeExport(messages).map(({ records }) =>
    records
      .filter(({ isOptions }) => isOptions)
      .map(({ fields }) => (fields.get('0/96')?.toString() ?? '').replace(/\0+$/, '')),
  );
}

t.test('applicationId is in templates of IPFIX, on request', async (t) => {
  const elements = (options: object, version: 9 | 10 = 10): unknown =>
    flowTemplate(version, 'ipv4', options)
      .fields.filter(({ type }) => type === 95)
      .map(({ octets, enterprise }) => [octets, enterprise]);
  t.same(elements({}), []);
  t.same(elements(WITH_ID, 9), []);
  for (const profile of ['standard', 'process', 'full'] as const) {
    t.same(elements({ ...WITH_ID, profile }), [[9, 0]], profile);
  }
  t.same(elements({ ...WITH_ID, profile: ['octetDeltaCount'] }), [[9, 0]], 'in a list too');
});

t.test('a name is told before the first record that has it, and once', async (t) => {
  const { sweep, transport } = await recordExport(10, { templates: WITH_ID });
  await sweep([flowOf('curl'), flowOf('nginx'), flowOf('curl')]);
  await sweep([flowOf('curl'), PING_FLOW]);
  t.same(toldByMessage(transport.messages).flat().sort(), ['(unknown)', 'curl', 'nginx']);
  t.same(namesByMessage(transport.messages).flat(), ['curl', 'nginx', 'curl', 'curl', '(unknown)']);
});

t.test('all names go out again with the templates', async (t) => {
  const { sweep, transport, clock } = await recordExport(10, { templates: WITH_ID });
  await sweep([flowOf('curl'), flowOf('nginx')]);
  const before = transport.messages.length;
  clock.now += MINUTE_NS;
  await sweep([flowOf('wget')]);
  const told = toldByMessage(transport.messages).slice(before).flat();
  t.same(told.sort(), ['curl', 'nginx', 'wget']);
  t.notOk(namesByMessage(transport.messages).flat().includes('?'));
});

t.test('a new session is told all names before the records that wait for it', async (t) => {
  const { sweep, transport } = await recordExport(10, { templates: WITH_ID });
  await sweep([flowOf('curl')]);
  const before = transport.messages.length;
  transport.session++;
  await sweep([flowOf('curl')]);
  t.same(namesByMessage(transport.messages.slice(before)).flat(), ['curl']);
});

t.test('of a thousand names none is used before it is told', async (t) => {
  const { exporter, transport } = await recordExport(10, {
    templates: { ...WITH_ID, nameFormat: parseProcessTextFormat('{comm}/{pid}') },
  });
  for (let i = 0; i < 20; i++) {
    const flows = Array.from({ length: 50 }, (_, k) => flowOf('worker', 1 + i * 50 + k));
    await exporter.write(flowBatch(flows));
    // Messages leave while others are packed.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await exporter.close();
  const names = namesByMessage(transport.messages).flat();
  t.same(
    names,
    Array.from({ length: 1000 }, (_, i) => `worker/${i + 1}`),
  );
  t.ok(transport.messages.every(({ length }) => length <= 1372));
});

t.test('a long name is cut to 31 octets at a character, and counted', async (t) => {
  const { sweep, exporter, transport } = await recordExport(10, {
    templates: { ...WITH_ID, nameFormat: parseProcessTextFormat('{command}') },
    directory: directoryOf({ 1: { commandLine: `${'x'.repeat(30)}ä` } }),
  });
  await sweep([flowOf('curl', 1)]);
  t.same(namesByMessage(transport.messages).flat(), ['x'.repeat(30)]);
  t.equal(exporter.statistics().truncatedFields, 1);
});

t.test('nfdump prints the name of each flow, and tshark has nothing to complain of', async (t) => {
  const nfcapd = await startDefaultNfcapd(t);
  const { sweep, transport } = await recordExport(10, {
    templates: { ...WITH_ID, nameFormat: parseProcessTextFormat('{comm}/{pid}') },
  });
  await sweep([flowOf('curl', 17), flowOf('nginx', 99), flowOf('curl', 18)]);
  await sweep([flowOf('a "b\n', 1), PING_FLOW]);
  const socket = createSocket('udp4');
  for (const message of transport.messages) {
    await new Promise<void>((resolve, reject) => {
      socket.send(message, nfcapd.port, '127.0.0.1', (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
  socket.close();
  await nfcapd.stop();
  const lines = nfcapd.nfdump('-q', '-N', '-o', 'fmt:%pkt;%nbnam').trim().split('\n');
  t.same(lines.map((line) => line.split(';')[1]?.trim()).sort(), [
    '(unknown)',
    'a _b_/1',
    'curl/17',
    'curl/18',
    'nginx/99',
  ]);
  const directory = mkdtempSync(join(tmpdir(), 'procflow-application-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const capture = join(directory, 'datagrams.pcap');
  writePcap(capture, transport.messages);
  t.equal(tsharkComplaints(capture), '');
});
