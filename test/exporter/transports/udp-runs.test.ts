// Many messages in one call of the system: what becomes of each of them. Real sockets, on loopback.
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { loadExportSockets } from '../../../src/bpf-loader/export-sockets.js';
import { createUdpTransport } from '../../../src/exporter/transports/udp-transport.js';
import type { MessageTransport } from '../../../src/exporter/delivery/message-transport.js';
import { freeUdpPort } from '../../support/nfcapd.js';
import type { Teardown } from '../../support/program.js';

const { openUdpSocket: openSocket, loadSendDatagrams } = loadExportSockets();
const sendDatagrams = loadSendDatagrams();
const WAYS = [
  { way: 'in one call', options: { openSocket, sendDatagrams } },
  { way: 'one by one', options: {} },
] as const;
const TOO_LONG = Buffer.alloc(70_000);

async function receiver(t: Teardown, address: string): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  t.teardown(() => void socket.close());
  return socket;
}

function numbered(count: number): Buffer[] {
  // In one piece of memory, as messages are.
  const slab = Buffer.alloc(count * 8);
  return Array.from({ length: count }, (_, i) => {
    const message = slab.subarray(i * 8, i * 8 + 1 + (i % 8));
    message.fill(i);
    return message;
  });
}

/** As the delivery does it; returns the codes of those that were not sent. */
async function sendAll(
  transport: MessageTransport,
  messages: readonly Buffer[],
): Promise<string[]> {
  const failures: string[] = [];
  for (let left = messages; left.length > 0;) {
    try {
      left = left.slice(await transport.sendMany?.(left));
    } catch (error) {
      failures.push((error as Error).message);
      left = left.slice(1);
    }
  }
  return failures;
}

for (const { way, options } of WAYS) {
  for (const host of ['127.0.0.1', '::1']) {
    t.test(`${way}, to ${host}: all of them arrive, in order, as they are`, async (t) => {
      const collector = await receiver(t, host);
      const transport = createUdpTransport({ ...options, host, port: collector.address().port });
      await transport.open();
      t.teardown(() => transport.close());
      const messages = numbered(60);
      const received: Buffer[] = [];
      const all = new Promise<void>((resolve) => {
        collector.on('message', (bytes) => {
          if (received.push(bytes) === messages.length) resolve();
        });
      });
      t.same(await sendAll(transport, messages), []);
      await all;
      t.same(received, messages);
      t.equal(transport.confirmed(), messages.length);
    });
  }

  t.test(`${way}: one that cannot be sent is lost alone`, async (t) => {
    const collector = await receiver(t, '127.0.0.1');
    const { port } = collector.address();
    const transport = createUdpTransport({ ...options, host: '127.0.0.1', port });
    await transport.open();
    t.teardown(() => transport.close());
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((text) => Buffer.from(text));
    if (a === undefined || b === undefined || c === undefined || d === undefined) return;
    const received: string[] = [];
    const all = new Promise<void>((resolve) => {
      collector.on('message', (bytes) => {
        if (received.push(bytes.toString()) === 4) resolve();
      });
    });
    const failures = await sendAll(transport, [a, TOO_LONG, b, TOO_LONG, TOO_LONG, c, d]);
    await all;
    t.same(received, ['a', 'b', 'c', 'd']);
    t.equal(failures.length, 3);
    for (const message of failures) t.match(message, /70000 octets .*: EMSGSIZE/);
    t.equal(transport.confirmed(), 4);
  });

  t.test(`${way}: a collector that does not listen is counted, and sent to again`, async (t) => {
    const port = await freeUdpPort();
    const transport = createUdpTransport({ ...options, host: '127.0.0.1', port });
    await transport.open();
    t.teardown(() => transport.close());
    while (transport.refusals() === 0) t.same(await sendAll(transport, numbered(10)), []);

    const collector = createSocket('udp4');
    t.teardown(() => void collector.close());
    collector.bind(port, '127.0.0.1');
    await once(collector, 'listening');
    const received = once(collector, 'message');
    await sendAll(transport, numbered(2));
    await received;
  });

  t.test(`${way}: who watches the collector's queue need not pace`, async (t) => {
    const collector = await receiver(t, '127.0.0.1');
    const { port } = collector.address();
    const transport = createUdpTransport({ ...options, host: '127.0.0.1', port });
    await transport.open();
    t.teardown(() => transport.close());
    t.equal(transport.hasFlowControl?.(), false, 'before it was looked for');
    await sendAll(transport, numbered(30));
    t.equal(transport.hasFlowControl?.(), true);
    collector.removeAllListeners();
  });
}

t.test('messages that the kernel has no room for wait until it has', async (t) => {
  const collector = await receiver(t, '127.0.0.1');
  const { port } = collector.address();
  let refused = 3;
  const transport = createUdpTransport({
    ...{ host: '127.0.0.1', port, openSocket },
    sendDatagrams: (fd, messages) => (refused-- > 0 ? -11 : sendDatagrams(fd, messages)), // EAGAIN
  });
  await transport.open();
  t.teardown(() => transport.close());
  const received: number[] = [];
  const all = new Promise<void>((resolve) => {
    collector.on('message', (bytes) => {
      if (received.push(bytes[0] ?? -1) === 10) resolve();
    });
  });
  t.same(await sendAll(transport, numbered(10)), []);
  await all;
  t.same(received, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
