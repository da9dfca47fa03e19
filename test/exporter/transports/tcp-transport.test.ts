// Real connections, all on loopback: collectors that are away, end, stall and come back.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { loadExportSockets } from '../../../src/bpf-loader/export-sockets.js';
import { createTcpTransport } from '../../../src/exporter/transports/tcp-transport.js';
import { ChangingName } from '../../support/changing-name.js';
import { startProgram } from '../../support/program.js';
import type { Teardown } from '../../support/program.js';
import { TcpCollector, deliver, eventually, numberedMessage } from '../../support/tcp-collector.js';
import { tcpTransport, type TcpOptions } from '../../support/tcp-transport.js';

const OCTETS = 1372;
const HOST = '127.0.0.1';

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** As /proc/net/tcp has it: on a little-endian host 0100007F:115C. */
function procAddress(port: number): string {
  return `0100007F:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

/** A port of loopback on which nothing listens now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function openTransport(t: Teardown, options: TcpOptions) {
  const transport = tcpTransport(options);
  await transport.open();
  t.teardown(() => transport.close());
  return transport;
}

for (const host of [HOST, '::1']) {
  t.test(`messages reach a collector at ${host}, and that is known`, async (t) => {
    const collector = await TcpCollector.listen(t, { address: host });
    const { port } = collector;
    const transport = await openTransport(t, { host, port });
    t.equal(transport.destination, host === HOST ? `tcp://${host}:${port}` : `tcp://[::1]:${port}`);
    t.equal(await transport.ready(), 1);
    for (const number of range(100)) {
      await transport.send(numberedMessage(number, OCTETS), OCTETS);
    }
    await eventually(() => transport.confirmed() === 100);
    await collector.until(({ numbers }) => numbers.length === 100);
    t.same(collector.numbers, range(100));
    t.equal(await transport.ready(), 1);
    t.equal(transport.refusals(), 0);
  });
}

t.test('a collector that is gone without a word is probed for', async (t) => {
  const collector = await TcpCollector.listen(t);
  const transport = await openTransport(t, { host: HOST, port: collector.port });
  await transport.ready();
  await collector.until(({ connections }) => connections.length === 1);
  const local = collector.connections[0]?.socket;
  const ours = procAddress(local?.remotePort ?? 0);
  const theirs = procAddress(collector.port);
  // "local remote state tx:rx timer:jiffies": state 01 is established, timer 02 is keep-alive
  const entry = new RegExp(`${ours} ${theirs} 01 0{8}:0{8} 02:`);
  await eventually(() => entry.test(readFileSync('/proc/self/net/tcp', 'latin1')));
});

t.test('the source address and port are used', async (t) => {
  const collector = await TcpCollector.listen(t);
  const source = { address: '127.0.0.2', port: await freePort() };
  const transport = await openTransport(t, { host: 'localhost', port: collector.port, source });
  await transport.ready();
  await collector.until(({ connections }) => connections.length === 1);
  const [connection] = collector.connections;
  t.equal(connection?.socket.remoteAddress, source.address);
  t.equal(connection?.socket.remotePort, source.port);
});

t.test('what can never work is an error at open()', async (t) => {
  const cases = [
    { host: HOST, address: '192.0.2.77', code: 'bad-option', message: /EADDRNOTAVAIL: does this/ },
    { host: HOST, address: '::1', code: 'bad-option', message: /IPv6 address and the collector/ },
    { host: 'no-such-name', code: 'name-lookup', message: /no-such-name: ENOTFOUND/ },
  ];
  for (const { host, address, code, message } of cases) {
    const source = address === undefined ? undefined : { address };
    const { lookUp } = new ChangingName();
    const transport = tcpTransport({ host, port: 4739, source, lookUp });
    await t.rejects(transport.open(), { name: 'ExportError', code, message });
  }
});

t.test('a collector that is away is awaited, and said so once', async (t) => {
  const port = await freePort();
  const name = new ChangingName(HOST);
  const transport = await openTransport(t, {
    host: 'collector.test',
    port,
    reconnectIntervalMs: 20,
    lookUp: name.lookUp,
    onNotice: name.notice,
  });
  const refused = `connect to tcp://collector.test:${port}: ${HOST}: ECONNREFUSED; tried again every 0.02 s`;
  t.equal(await name.nextNotice(), refused);
  await eventually(() => transport.refusals() >= 3);
  t.same(name.notices, []);
  const ready = transport.ready();
  const collector = await TcpCollector.listen(t, { port });
  t.equal(await ready, 1);
  t.equal(await name.nextNotice(), `connected to tcp://collector.test:${port}`);
  await deliver(transport, 3, OCTETS);
  await collector.until(({ numbers }) => numbers.length === 3);
});

t.test('no two attempts to connect are closer than the interval', async (t) => {
  const port = await freePort();
  const name = new ChangingName(HOST);
  const times: number[] = [];
  const transport = await openTransport(t, {
    host: 'collector.test',
    port,
    reconnectIntervalMs: 50,
    lookUp: (host, family) => {
      times.push(performance.now());
      return name.lookUp(host, family);
    },
  });
  await eventually(() => transport.refusals() === 2);
  const collector = await TcpCollector.listen(t, { port });
  await collector.until(({ connections }) => connections.length === 1);
  collector.connections[0]?.socket.destroy();
  await collector.until(({ connections }) => connections.length === 2);
  t.equal(times.length, 4, 'at open(), after two refusals and after a loss');
  for (const [i, time] of times.slice(1).entries()) {
    t.ok(time - (times[i] ?? 0) > 48, `attempt ${i + 2}`);
  }
});

t.test('a name is looked up for each connection, and all its addresses are tried', async (t) => {
  const first = await TcpCollector.listen(t);
  const { port } = first;
  const second = await TcpCollector.listen(t, { address: '127.0.0.2', port });
  const name = new ChangingName('127.0.0.3', HOST);
  const transport = await openTransport(t, {
    host: 'collector.test',
    port,
    reconnectIntervalMs: 0,
    lookUp: name.lookUp,
  });
  t.equal(await transport.ready(), 1);
  await first.until(({ connections }) => connections.length === 1);
  name.addresses = ['127.0.0.2'];
  await first.stop();
  await second.until(({ connections }) => connections.length === 1);
  await eventually(() => transport.confirmed() === 0);
  t.equal(await transport.ready(), 2);
});

t.test('what a collector had read when it died is known, the rest goes to the next', async (t) => {
  const port = await freePort();
  // Reads ten messages and no more, says so, and is killed.
  const script = `
import socket
server = socket.create_server(('${HOST}', ${port}))
print('listening', flush=True)
connection, _ = server.accept()
print('read', len(connection.recv(${10 * OCTETS}, socket.MSG_WAITALL)), flush=True)
connection.recv(1)`;
  const dying = startProgram(t, 'python3', ['-c', script]);
  await dying.line('out', /listening/);
  const name = new ChangingName();
  const transport = await openTransport(t, {
    host: HOST,
    port,
    reconnectIntervalMs: 20,
    onNotice: name.notice,
  });
  t.equal(await transport.ready(), 1);
  for (const number of range(10)) {
    await transport.send(numberedMessage(number, OCTETS), OCTETS);
  }
  await dying.line('out', /^read 13720/);
  await dying.stop('SIGKILL');
  t.match(await name.nextNotice(), /is lost: the collector closed the connection$/);
  t.equal(transport.confirmed(), 10);
  await t.rejects(transport.send(numberedMessage(10, OCTETS), OCTETS), { code: 'session-lost' });
  t.equal(transport.confirmed(), 10, 'the last word of that session');
  await TcpCollector.listen(t, { port });
  t.equal(await transport.ready(), 2);
  t.equal(transport.confirmed(), 0);
});

t.test('a collector that stalls is awaited', async (t) => {
  const collector = await TcpCollector.listen(t, { isPaused: true });
  const transport = await openTransport(t, { host: HOST, port: collector.port });
  await transport.ready();
  let sent = 0;
  const all = (async () => {
    for (; sent < 400; sent++) await transport.send(numberedMessage(sent, 60_000), 60_000);
  })();
  let before = -1;
  await eventually(() => {
    const isStalled = sent > 0 && sent === before;
    before = sent;
    return isStalled;
  });
  const confirmed = transport.confirmed();
  t.ok(confirmed < sent, `${confirmed} of ${sent} sent messages had arrived`);
  collector.resume(0);
  await all;
  await eventually(() => transport.confirmed() === 400);
  await collector.until(({ numbers }) => numbers.length === 400);
  t.same(collector.numbers, range(400));
});

t.test('one that stalls for too long is left; each message arrives once', async (t) => {
  const collector = await TcpCollector.listen(t, { isPaused: true });
  const name = new ChangingName();
  const transport = await openTransport(t, {
    host: HOST,
    port: collector.port,
    reconnectIntervalMs: 0,
    stallTimeoutMs: 300,
    onNotice: name.notice,
  });
  const delivered = deliver(transport, 400, 60_000);
  t.match(await name.nextNotice(), /is lost: nothing was acknowledged for 300 ms/);
  const confirmed = transport.confirmed();
  t.ok(confirmed > 0);
  await collector.until(({ connections }) => connections.length === 2);
  collector.resume(1);
  await delivered;
  collector.resume(0); // what its kernel has is still there
  await collector.until(({ numbers }) => numbers.length === 400);
  t.equal(collector.connections[0]?.numbers.length, confirmed);
  t.same(collector.numbers, range(400));
});

t.test('collectors that end again and again miss nothing', async (t) => {
  const collector = await TcpCollector.listen(t);
  const transport = await openTransport(t, {
    host: HOST,
    port: collector.port,
    reconnectIntervalMs: 0,
  });
  const delivered = deliver(transport, 5000, 8000);
  for (const n of range(5)) {
    await collector.until(({ connections }) => (connections[n]?.numbers.length ?? 0) > 100);
    collector.connections[n]?.socket.end();
  }
  await delivered;
  await collector.until(({ numbers }) => new Set(numbers).size === 5000);
  t.equal(collector.connections.length, 6);
  for (const { numbers } of collector.connections) {
    t.same(
      numbers,
      range(numbers.length).map((i) => (numbers[0] ?? 0) + i),
      'without a gap',
    );
  }
  t.comment(`${collector.numbers.length - 5000} messages came twice`);
});

t.test('what had arrived before a reset is known to the message', async (t) => {
  const collector = await TcpCollector.listen(t);
  const transport = await openTransport(t, {
    host: HOST,
    port: collector.port,
    reconnectIntervalMs: 0,
  });
  const delivered = deliver(transport, 5000, OCTETS);
  for (const n of range(5)) {
    await collector.until(({ connections }) => (connections[n]?.numbers.length ?? 0) > 100);
    collector.connections[n]?.socket.resetAndDestroy();
  }
  await delivered;
  await collector.until(({ numbers }) => numbers.includes(4999));
  const { numbers, connections } = collector;
  t.equal(connections.length, 6);
  // The message that was being written may have arrived in part: it goes again.
  const twice = numbers.length - new Set(numbers).size;
  t.ok(twice <= connections.length - 1, `${twice} came twice`);
});

t.test('a reset connection is a lost session', async (t) => {
  const collector = await TcpCollector.listen(t);
  const name = new ChangingName();
  const { port } = collector;
  const transport = await openTransport(t, {
    host: HOST,
    port,
    reconnectIntervalMs: 0,
    onNotice: name.notice,
  });
  await transport.ready();
  await collector.until(({ connections }) => connections.length === 1);
  collector.connections[0]?.socket.resetAndDestroy();
  const lost = `the connection to tcp://${HOST}:${port} is lost: ECONNRESET`;
  t.equal(await name.nextNotice(), lost);
  await t.rejects(transport.send(numberedMessage(0, OCTETS), OCTETS), {
    name: 'ExportError',
    code: 'session-lost',
  });
  t.equal(await transport.ready(), 2);
});

t.test('without a descriptor for its send queue a connection is tried again', async (t) => {
  const collector = await TcpCollector.listen(t);
  const name = new ChangingName();
  const { openSendQueue } = loadExportSockets();
  let descriptors = 0;
  const transport = createTcpTransport({
    host: HOST,
    port: collector.port,
    reconnectIntervalMs: 0,
    onNotice: name.notice,
    openSendQueue: (fd) => {
      if (descriptors++ === 0) throw new Error('EMFILE');
      return openSendQueue(fd);
    },
  });
  await transport.open();
  t.teardown(() => transport.close());
  t.equal(await name.nextNotice(), 'EMFILE; tried again every 0 s');
  t.equal(await transport.ready(), 1);
  await deliver(transport, 3, OCTETS);
  await collector.until(({ connections }) => connections[0]?.socket.closed === true);
  t.same(collector.connections[1]?.numbers, range(3));
});

t.test('what the collector says is ignored', async (t) => {
  const collector = await TcpCollector.listen(t);
  const transport = await openTransport(t, { host: HOST, port: collector.port });
  await transport.ready();
  await collector.until(({ connections }) => connections.length === 1);
  const [connection] = collector.connections;
  await new Promise((resolve) => connection?.socket.write(Buffer.alloc(1_000_000), resolve));
  await deliver(transport, 3, OCTETS);
  t.equal(await transport.ready(), 1);
});

t.test('close() delivers what was sent, and ends what waits', async (t) => {
  const collector = await TcpCollector.listen(t);
  const transport = tcpTransport({ host: HOST, port: collector.port });
  await t.rejects(transport.ready(), { code: 'not-open' });
  await transport.open();
  await transport.ready();
  for (const number of range(50)) {
    await transport.send(numberedMessage(number, OCTETS), OCTETS);
  }
  await transport.close();
  t.equal(transport.confirmed(), 50);
  await collector.until(({ numbers }) => numbers.length === 50);
  await t.rejects(transport.send(numberedMessage(0, OCTETS), OCTETS), { code: 'not-open' });
  await transport.close();

  const away = tcpTransport({ host: HOST, port: await freePort() });
  await away.open();
  const ready = away.ready();
  await Promise.all([t.rejects(ready, { code: 'not-open' }), away.close()]);

  const stalled = await TcpCollector.listen(t, { isPaused: true });
  const waiting = tcpTransport({ host: HOST, port: stalled.port });
  await waiting.open();
  await waiting.ready();
  const sending = (async () => {
    for (;;) await waiting.send(numberedMessage(0, 60_000), 60_000);
  })();
  await eventually(() => waiting.confirmed() > 0);
  await Promise.all([t.rejects(sending, { code: 'not-open' }), waiting.close()]);
});

t.test('close() resolves also when the collector resets the connection meanwhile', async (t) => {
  const collector = await TcpCollector.listen(t);
  const transport = tcpTransport({ host: HOST, port: collector.port });
  await transport.open();
  await transport.ready();
  await collector.until(({ connections }) => connections.length === 1);
  collector.connections[0]?.socket.resetAndDestroy();
  await t.resolves(transport.close());
});
