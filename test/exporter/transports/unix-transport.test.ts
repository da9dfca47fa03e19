// Unix datagrams through the kernel, to receivers in Python: Node has no such sockets.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { loadExportSockets } from '../../../src/bpf-loader/export-sockets.js';
import { createUnixTransport } from '../../../src/exporter/transports/unix-transport.js';
import type { UnixTransportOptions } from '../../../src/exporter/transports/unix-transport.js';
import { ChangingName } from '../../support/changing-name.js';
import { startProgram } from '../../support/program.js';
import type { Program, Teardown } from '../../support/program.js';
import { deliver, eventually, numberedMessage } from '../../support/tcp-collector.js';

const { openUnixDatagram } = loadExportSockets();
const OCTETS = 1372;

/** Reads when told, and says which messages have come when it has read as many as it was told. */
const RECEIVER = `
import os, socket, sys
path = sys.argv[1]
if os.path.exists(path): os.unlink(path)
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(path)
print('bound', flush=True)
count = int(sys.stdin.readline())
messages = [receiver.recv(65536) for _ in range(count)]
print('lengths', set(len(message) for message in messages))
print('numbers', [int.from_bytes(message[8:12], 'big') for message in messages], flush=True)
sys.stdin.readline()`;

function socketPath(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-unix-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return join(directory, 'collector');
}

async function startReceiver(t: Teardown, path: string): Promise<Program> {
  const receiver = startProgram(t, 'python3', ['-c', RECEIVER, path]);
  await receiver.line('out', /^bound/);
  return receiver;
}

async function openTransport(t: Teardown, options: Omit<UnixTransportOptions, 'openUnixDatagram'>) {
  const transport = createUnixTransport({ openUnixDatagram, retryIntervalMs: 5, ...options });
  await transport.open();
  t.teardown(() => transport.close());
  return transport;
}

function numbers(count: number): string {
  return `numbers [${Array.from({ length: count }, (_, i) => i).join(', ')}]`;
}

t.test('a receiver that is slow makes the sender wait, and gets everything', async (t) => {
  const path = socketPath(t);
  const receiver = await startReceiver(t, path);
  const transport = await openTransport(t, { path });
  t.equal(transport.destination, `unix://${path}`);
  const count = 3000; // a queue holds 10 to some hundreds
  const delivered = deliver(transport, count, OCTETS);
  let before = -1;
  await eventually(() => {
    const isStalled = before > 0 && transport.confirmed() === before;
    before = transport.confirmed();
    return isStalled;
  });
  t.ok(before < count, `${before} messages are in its queue`);
  receiver.write(`${count}\n`);
  await delivered;
  t.equal(await receiver.line('out', /^numbers/), numbers(count));
  t.ok(receiver.out.includes('lengths {1372}'));
});

t.test('a receiver that is away is awaited, also when it ends and comes back', async (t) => {
  const path = socketPath(t);
  const { notices, notice: onNotice } = new ChangingName();
  const transport = await openTransport(t, { path, onNotice });
  t.same(notices.splice(0), [`unix://${path} is away: ENOENT; it is awaited`]);
  const ready = transport.ready();
  await eventually(() => transport.refusals() >= 3);
  const first = await startReceiver(t, path);
  t.equal(await ready, 1);
  t.same(notices.splice(0), [`connected to unix://${path}`]);
  first.write('2\n');
  for (const number of [0, 1]) await transport.send(numberedMessage(number, OCTETS), OCTETS);
  t.equal(await first.line('out', /^numbers/), numbers(2));
  await first.stop('SIGKILL');

  const lost = transport.send(numberedMessage(2, OCTETS), OCTETS);
  await t.rejects(lost, { name: 'ExportError', code: 'session-lost', message: /ECONNREFUSED/ });
  t.equal(transport.confirmed(), 2);
  t.same(notices.splice(0), [`unix://${path} is away: ECONNREFUSED; it is awaited`]);
  const again = transport.ready();
  const second = await startReceiver(t, path);
  second.write('1\n');
  t.equal(await again, 2);
  t.equal(transport.confirmed(), 0);
  await transport.send(numberedMessage(0, OCTETS), OCTETS);
  t.equal(await second.line('out', /^numbers/), numbers(1));
});

t.test('what can never work is an error at open()', async (t) => {
  const path = socketPath(t);
  const server = createServer().listen(path);
  await once(server, 'listening');
  t.teardown(() => void server.close());
  const file = join(dirname(path), 'file');
  writeFileSync(file, '');
  const cases = [
    { path: 'x'.repeat(108), code: 'bad-option', message: /has 1 to 107 octets, not 108$/ },
    { path: '', code: 'bad-option', message: /1 to 107 octets, not 0$/ },
    { path: dirname(path), code: 'connect', message: /: it is a directory and not a socket$/ },
    { path: file, code: 'connect', message: /: it is a file and not a socket$/ },
    { path, code: 'connect', message: /EPROTOTYPE \(it is not a datagram socket\)$/ },
  ];
  for (const { path, code, message } of cases) {
    const transport = createUnixTransport({ path, openUnixDatagram });
    await t.rejects(transport.open(), { name: 'ExportError', code, message });
    await t.rejects(transport.ready(), { code: 'not-open' });
  }
});

t.test('a message that is too long is lost, and the session goes on', async (t) => {
  const path = socketPath(t);
  const receiver = await startReceiver(t, path);
  const transport = await openTransport(t, { path });
  t.equal(await transport.ready(), 1);
  const octets = 10_000_000; // above the send buffer
  await t.rejects(transport.send(Buffer.alloc(octets), octets), {
    code: 'send',
    message: /EMSGSIZE/,
  });
  receiver.write('1\n');
  t.equal(await transport.ready(), 1);
  await transport.send(numberedMessage(0, OCTETS), OCTETS);
  t.equal(await receiver.line('out', /^numbers/), numbers(1));
});

t.test('close() ends what waits', async (t) => {
  const path = socketPath(t);
  const away = await openTransport(t, { path });
  const ready = away.ready();
  await Promise.all([t.rejects(ready, { code: 'not-open' }), away.close()]);
  await startReceiver(t, path);
  const full = await openTransport(t, { path });
  const delivered = deliver(full, 100_000, OCTETS);
  await eventually(() => full.confirmed() > 0);
  await Promise.all([t.rejects(delivered, { code: 'not-open' }), full.close()]);
});
