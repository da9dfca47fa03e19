// The exporters of one session: what each is given, and that none is left open.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readExportConfig } from '../../src/daemon/export-config.js';
import { openExporters, type ExportContext } from '../../src/daemon/open-exporters.js';
import { NON_PROCESS_NAMES } from '../../src/flow/non-process-names.js';
import { NO_SAMPLING } from '../../src/flow/sampling.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import type { DecodedMessage } from '../support/decoder/decoded-message.js';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { CURL_FLOW } from '../support/described-flows.js';
import { flowBatch } from '../support/flow-description.js';
import type { Teardown } from '../support/program.js';
import { DIRECTORY, FakeClock } from '../support/recorded-export.js';
import { TcpCollector } from '../support/tcp-collector.js';

function contextOf(): ExportContext {
  const losses = { packets: 0, octets: 0, firstMs: undefined, lastMs: undefined };
  return {
    clock: new FakeClock(),
    directory: DIRECTORY,
    nonProcessNames: NON_PROCESS_NAMES,
    status: { sampling: NO_SAMPLING, interfaces: () => [], losses: () => losses },
    observationDomainId: 77,
    sweepIntervalMs: 1000,
    maxFlows: 65_536,
    onNotice: () => undefined,
  };
}

/** Receives until the test ends. */
class UdpCollector {
  readonly messages: Buffer[] = [];
  readonly socket: Socket = createSocket('udp4');

  static async listen(t: Teardown): Promise<UdpCollector> {
    const collector = new UdpCollector();
    const { socket, messages } = collector;
    socket.on('message', (message) => messages.push(message));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    t.teardown(() => void socket.close());
    return collector;
  }

  get address(): string {
    return `127.0.0.1:${this.socket.address().port}`;
  }

  /** Resolves with all messages when there are so many flow records in them. */
  async flows(count: number): Promise<DecodedMessage[]> {
    for (;;) {
      const decoder = new MessageDecoder({ isStrict: true });
      const decoded = this.messages.map((message) => decoder.decode(message));
      const flows = decoded.flatMap(({ records }) => records.filter((r) => !r.isOptions));
      if (flows.length >= count) return decoded;
      await once(this.socket, 'message');
    }
  }
}

t.test('each collector has its own format, domain and sequence numbers', async (t) => {
  const collectors = [await UdpCollector.listen(t), await UdpCollector.listen(t)];
  const [first, second] = collectors;
  if (first === undefined || second === undefined) throw new Error('unreachable');
  const config = readExportConfig({
    collector: [`${first.address}?options=none`, `${second.address}?version=10&domain=9`],
  });
  const { sinks, statistics } = await openExporters(config, contextOf());
  t.equal(sinks.length, 2);
  for (let sweep = 0; sweep < 3; sweep++) {
    for (const sink of sinks) await sink.write(flowBatch([CURL_FLOW, CURL_FLOW]));
    for (const sink of sinks) await sink.flush();
  }
  const [v9, ipfix] = await Promise.all(collectors.map((collector) => collector.flows(6)));
  for (const sink of sinks) await sink.close();

  const numbers = (messages: readonly DecodedMessage[] = []): unknown[] =>
    messages.map((m) => [m.version, m.observationDomainId, m.sequenceNumber]);
  t.same(numbers(v9).slice(0, 2), [
    [9, 77, 0],
    [9, 77, 1],
  ]);
  t.same(numbers(ipfix)[0], [10, 9, 0]);
  for (const messages of [v9, ipfix]) t.same(sequenceGaps(messages ?? []), []);
  t.match(statistics(), [
    { destination: `udp://${first.address}`, records: 6, lostRecords: 0 },
    { destination: `udp://${second.address}`, records: 6, lostRecords: 0 },
  ]);
});

t.test('with --balance there is one sink, and each flow goes to one collector', async (t) => {
  const first = await UdpCollector.listen(t);
  const second = await UdpCollector.listen(t);
  const config = readExportConfig({ collector: [first.address, second.address], balance: true });
  const { sinks, statistics } = await openExporters(config, contextOf());
  t.equal(sinks.length, 1);
  const [sink] = sinks;
  const flows = Array.from({ length: 100 }, (_, i) => ({ ...CURL_FLOW, sourcePort: i }));
  await sink?.write(flowBatch(flows));
  await sink?.close();
  const records = statistics().map((one) => one.records);
  t.ok(
    records.every((count) => count > 20),
    records.join(),
  );
  t.equal(
    records.reduce((sum, count) => sum + count, 0),
    100,
  );
});

t.test('a collector that can never work closes those before it', async (t) => {
  const collector = await TcpCollector.listen(t);
  const tcp = `tcp://127.0.0.1:${collector.port}?version=10`;
  for (const [bad, name] of [
    ['127.0.0.1:9?device=none-such', 'ExportError'],
    ['127.0.0.1:9?message-octets=64', 'ConfigError'],
  ] as const) {
    const config = readExportConfig({ collector: [tcp, bad] });
    await t.rejects(openExporters(config, contextOf()), { name }, bad);
    await collector.allEnded();
    t.same(collector.numbers, [], 'and nothing was sent');
  }
});

t.test('messages of streams and files are longer than those of datagrams', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-exporters-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const tcp = await TcpCollector.listen(t);
  const shorter = await TcpCollector.listen(t);
  const udp = await UdpCollector.listen(t);
  const config = readExportConfig({
    version: '10',
    options: 'none',
    collector: [
      `tcp://127.0.0.1:${tcp.port}`,
      `file://${directory}/flows.ipfix`,
      udp.address,
      `tcp://127.0.0.1:${shorter.port}?message-octets=600`,
    ],
  });
  const { sinks, statistics } = await openExporters(config, contextOf());
  const flows = Array.from({ length: 1000 }, () => CURL_FLOW);
  for (const sink of sinks) await sink.write(flowBatch(flows));
  for (const sink of sinks) await sink.close();
  const longest = (messages: readonly Buffer[] = []): number =>
    Math.max(...messages.map(({ length }) => length));
  const within = (octets: number, least: number, most: number): void => {
    t.ok(octets >= least && octets <= most, `${octets} octets`);
  };
  await tcp.allEnded();
  within(longest(tcp.connections[0]?.messages), 16_000, 16_384);
  await shorter.allEnded();
  within(longest(shorter.connections[0]?.messages), 400, 600);
  await udp.flows(1000);
  within(longest(udp.messages), 1200, 1372);
  const [, file] = statistics();
  t.match(file, { destination: `file://${directory}/flows.ipfix`, records: 1000 });
  t.ok((file?.messages ?? 99) < 12, `${file?.messages} messages in the file`);
  t.ok(readdirSync(directory).length > 0);
});
