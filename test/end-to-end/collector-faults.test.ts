// Several collectors at once, of which one is well, one stalls, one dies and comes back, and one is not
// there: the well one gets every flow in time, and what the others lack is counted to the record.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { text, unsigned } from '../support/decoder/field-values.js';
import { exportedRecords, decodeExport } from '../support/exported-messages.js';
import { runGenerator, startGenerator, type Place } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { freeUdpPort, startNfcapd } from '../support/nfcapd.js';
import { startProcflow } from '../support/procflow.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';
import { TcpCollector } from '../support/tcp-collector.js';

const skip = missingRequirement();
const PACKETS = '0/2';
const TIMEOUTS = ['--idle-timeout', '0.4', '--active-timeout', '1'];

interface Totals {
  readonly records: number;
  readonly packets: number;
}

/** What the collector has, each connection a Transport Session. */
function collected(connections: readonly { readonly messages: readonly Buffer[] }[]): Totals {
  const packets = connections.flatMap(({ messages }) =>
    exportedRecords(messages).map(({ fields }) => unsigned(fields.get(PACKETS))),
  );
  return { records: packets.length, packets: packets.reduce((sum, count) => sum + count, 0) };
}

/** Resolves when all packets have come; each message is decoded once. */
async function allPackets(collector: TcpCollector, count: number): Promise<void> {
  const decoder = new MessageDecoder();
  let decoded = 0;
  let packets = 0;
  await collector.until(({ connections: [connection] }) => {
    for (const message of connection?.messages.slice(decoded) ?? []) {
      decoded++;
      for (const { isOptions, fields } of decoder.decode(message).records) {
        if (!isOptions) packets += unsigned(fields.get(PACKETS));
      }
    }
    return packets >= count;
  });
}

/** What procflow says of one collector at its end. */
function accountOf(lines: readonly string[], destination: string) {
  const text = lines.filter((line) => line.includes(destination)).join('\n');
  const read = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  return {
    sent: read(/sent to \S+ (\d+) records/),
    lost: read(/LOSS: (\d+) records \(/),
    lostPackets: read(/LOSS: \d+ records \((\d+) packets/),
    refusals: read(/LOSS: (\d+) times the collector was not listening/),
  };
}

async function traffic(t: Teardown, place: Place, flows: number): Promise<void> {
  const server = startGenerator(t, place, 'udp-server', '--count', flows);
  const { port } = await server.report('ready');
  const to = ['--to', '127.0.0.1', '--port', Number(port), '--flows', flows];
  await runGenerator(t, place, 'udp-client', ...to);
  await server.success();
}

function totalsOf(lines: readonly string[]): Totals {
  const [, records, packets] = /(\d+) flow records, (\d+) packets/.exec(lines.join('\n')) ?? [];
  return { records: Number(records), packets: Number(packets) };
}

t.test('a collector that stalls, dies, or is not there harms no other', { skip }, async (t) => {
  const place = { namespace: createNamespace(t), cgroup: createCgroup(t) };
  const healthy = await startNfcapd(t);
  const reading = await TcpCollector.listen(t);
  const stalled = await TcpCollector.listen(t, { isPaused: true });
  let mortal = await TcpCollector.listen(t);
  const mortalPort = mortal.port;
  const absentPort = await freeUdpPort();
  const udp = (port: number): string => `udp://127.0.0.1:${port}`;
  const tcp = (port: number): string => `tcp://127.0.0.1:${port}`;
  const stream = 'version=10&reconnect=0.2&message-octets=1400';
  const collectors = [
    udp(healthy.port),
    `${tcp(reading.port)}?${stream}`,
    `${tcp(stalled.port)}?${stream}&backlog=64K&stall=0`,
    `${tcp(mortalPort)}?${stream}`,
    udp(absentPort),
  ];
  const program = startProcflow(t, [
    'export',
    ...['-i', 'lo', '--netns', place.namespace.name, '--cgroup', place.cgroup],
    ...TIMEOUTS,
    ...collectors.flatMap((collector) => ['-n', collector]),
  ]);
  await program.line('err', /^procflow: metering/);

  const batches = [1000, 8000, 8000, 1000];
  const gone: (typeof mortal)[] = [];
  const startMs = performance.now();
  for (const [i, flows] of batches.entries()) {
    await traffic(t, place, flows);
    if (i === 0) {
      await mortal.until(({ numbers }) => numbers.length > 0);
      await mortal.stop();
      gone.push(mortal);
    }
    if (i === 2) mortal = await TcpCollector.listen(t, { port: mortalPort });
  }
  // Every packet is in some record of the well one, while the others are what they are.
  const sent = batches.reduce((sum, flows) => sum + flows, 0);
  await allPackets(reading, sent);
  // A second of waiting for each that does not keep up, and not one for each of its messages.
  const tookMs = performance.now() - startMs;
  t.ok(tookMs < 20_000, `${tookMs} ms until the last flow was read`);
  t.notOk(program.hasEnded, 'procflow meters on');
  const end = await program.stop();
  t.same(end, { code: 0, signal: null });
  const { err } = program;
  const metered = totalsOf(err);
  t.ok(metered.packets >= sent, `${metered.packets} packets in ${metered.records} records`);

  await reading.allEnded();
  t.same(collected(reading.connections), metered, 'a collector that reads has every record');
  t.match(accountOf(err, tcp(reading.port)), { sent: metered.records, lost: 0 });
  const nfdump = await healthy.stop();
  t.equal(nfdump.length, metered.records, 'nfcapd has every record');
  t.equal(
    nfdump.reduce((sum, { packets }) => sum + packets, 0),
    metered.packets,
  );
  t.match(accountOf(err, udp(healthy.port)), { sent: metered.records, lost: 0, refusals: 0 });

  const stall = accountOf(err, tcp(stalled.port));
  t.ok(stall.lost > 0, `${stall.lost} records found no room`);
  t.equal(stall.sent + stall.lost, metered.records, 'the stalled one: each record is counted');
  stalled.resume(0);
  await stalled.allEnded();
  const read = collected(stalled.connections);
  t.equal(read.records + stall.lost, metered.records, 'as the collector sees it too');
  t.equal(read.packets + stall.lostPackets, metered.packets);

  await mortal.allEnded();
  const sessions = [...gone, mortal].flatMap(({ connections }) => connections);
  const death = accountOf(err, tcp(mortalPort));
  t.match(death, { sent: metered.records, lost: 0 }, 'the backlog held while it was away');
  const both = collected(sessions);
  t.equal(both.records, metered.records, 'and nothing came twice');
  for (const { messages } of [...sessions, ...reading.connections]) {
    t.same(sequenceGaps(decodeExport(messages)), [], 'no gap in a session');
  }

  const absent = accountOf(err, udp(absentPort));
  t.ok(absent.refusals > 0, `noticed ${absent.refusals} times that nobody listens`);
  t.equal(absent.sent + absent.lost, metered.records);
});

t.test('a collector that comes back while procflow ends gets all of it', { skip }, async (t) => {
  const place = { namespace: createNamespace(t), cgroup: createCgroup(t) };
  const away = await TcpCollector.listen(t);
  const { port } = away;
  await away.stop();
  const program = startProcflow(t, [
    ...['export', '-i', 'lo', '--netns', place.namespace.name, '--cgroup', place.cgroup],
    ...['-n', `tcp://127.0.0.1:${port}?version=10&reconnect=0.1`],
  ]);
  await program.line('err', /^procflow: metering/);
  await traffic(t, place, 300);
  const ending = program.stop();
  // Of the three seconds that it is waited for. Nothing tells that the last sweep is over, and that
  // the kernel's part of procflow is gone, which the options of a session are about too.
  await delay(1000);
  const collector = await TcpCollector.listen(t, { port });
  t.same(await ending, { code: 0, signal: null });
  await collector.allEnded();
  const metered = totalsOf(program.err);
  t.ok(metered.packets >= 300);
  t.same(collected(collector.connections), metered);
  t.match(program.err.join('\n'), /nothing was lost/);
  const [connection] = collector.connections;
  const options = decodeExport(connection?.messages ?? []).flatMap(({ records }) =>
    records.filter(({ isOptions }) => isOptions),
  );
  const names = options.flatMap(({ fields }) => fields.get('0/82') ?? fields.get('0/83') ?? []);
  t.ok(names.map(text).includes('lo'), 'the names of the interfaces too');
});

t.test('two exporters on one host have two observation domains', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const options = ['--netns', namespace.name, '--cgroup', createCgroup(t), ...TIMEOUTS];
  const collectors = [await TcpCollector.listen(t), await TcpCollector.listen(t)];
  const programs = collectors.map(({ port }) =>
    startProcflow(t, [
      ...['export', '-i', 'lo', ...options],
      ...['-n', `tcp://127.0.0.1:${port}?version=10`],
    ]),
  );
  for (const program of programs) await program.line('err', /^procflow: metering/);
  const domains = await Promise.all(
    collectors.map(async (collector) => {
      await collector.until(({ numbers }) => numbers.length > 0);
      return collector.connections[0]?.messages[0]?.readUInt32BE(12);
    }),
  );
  t.ok(domains.every((id) => id !== undefined && id > 0));
  t.not(domains[0], domains[1]);
  for (const program of programs) t.match(await program.stop(), { code: 0 });
});
