// Hostile collectors: what they say over TCP is dropped, what they say in a TLS handshake ends the connection
// at most, and the exporter tries again.
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t from 'tap';
import { harmlessLine } from '../../src/cli/printable.js';
import type { MessageTransport } from '../../src/exporter/delivery/message-transport.js';
import { ExportError } from '../../src/exporter/export-error.js';
import { Authority } from '../support/certificates.js';
import type { Teardown } from '../support/program.js';
import { tcpTransport } from '../support/tcp-transport.js';
import { fuzz } from './fuzz-rounds.js';
import { expectHarmless, hostileOctets } from './hostile-texts.js';
import { mutated } from './mutate.js';
import { Random } from './random.js';

const HOST = '127.0.0.1';
const CONNECTIONS = 5;
const MESSAGE = Buffer.alloc(200, 7);
/** A collector that does not end a broken handshake by itself. */
const BREAK_OFF_MS = 30;
const MAX_FLIGHT_OCTETS = 8000;

async function listen(t: Teardown, server: Server): Promise<number> {
  server.listen(0, HOST);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Counts connections, and does with each what the round's numbers say. */
async function hostileServer(t: Teardown, behave: (socket: Socket, random: Random) => void) {
  const sockets = new Set<Socket>();
  const state = { connections: 0, random: new Random(0) };
  const server = createServer((socket) => {
    state.connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    behave(socket, state.random);
  });
  const port = await listen(t, server);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  return { port, server, state };
}

function end(socket: Socket, random: Random): void {
  const way = random.below(3);
  if (way === 0) socket.end();
  else if (way === 1) socket.destroy();
  else socket.resetAndDestroy();
}

function speak(socket: Socket, random: Random): void {
  socket.resume();
  socket.write(hostileOctets(random, 2000), () => end(socket, random));
}

/** Between the exporter and a collector that speaks TLS: changes what the collector says. */
function between(port: number): (socket: Socket, random: Random) => void {
  return (socket, random) => {
    const collector = connect(port, HOST);
    const finish = (): void => {
      clearTimeout(timer);
      collector.destroy();
      socket.destroy();
    };
    const timer = setTimeout(finish, BREAK_OFF_MS);
    collector.on('error', finish).on('close', finish);
    socket.on('close', finish).on('data', (piece: Buffer) => collector.write(piece));
    collector.on('data', (flight: Buffer) => {
      const others = [flight.subarray(0, MAX_FLIGHT_OCTETS)];
      const options = { others, head: 300, least: 0, most: MAX_FLIGHT_OCTETS };
      socket.write(random.oneIn(8) ? hostileOctets(random, 2000) : mutated(random, options));
    });
  };
}

/** Sends as long as it is not broken off. */
async function sendOn(transport: MessageTransport, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    try {
      await transport.ready();
      await transport.send(MESSAGE, MESSAGE.length);
    } catch (error) {
      const isExpected = error instanceof ExportError;
      if (!isExpected || (error.code !== 'session-lost' && error.code !== 'not-open')) throw error;
    }
  }
}

async function expectPersistence(
  t: Parameters<typeof fuzz>[0],
  title: string,
  isTls: boolean,
): Promise<void> {
  const authority = new Authority(t);
  const files = authority.sign('collector', 'IP:127.0.0.1');
  const credentials = { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) };
  const honest = createTlsServer(credentials, (socket) => {
    socket.on('error', () => undefined);
    socket.resume();
  });
  const behave = isTls ? between(await listen(t, honest)) : speak;
  const { port, server, state } = await hostileServer(t, behave);
  await fuzz(t, title, {
    share: 0.015,
    cases: 'connections',
    round: async (random) => {
      state.random = random;
      const last = state.connections + CONNECTIONS;
      const transport = tcpTransport({
        ...{ host: HOST, port, reconnectIntervalMs: 1, connectTimeoutMs: 1000 },
        ...(isTls && { tls: { caFile: authority.caFile } }),
        onNotice: (line) => {
          expectHarmless(harmlessLine(line), 'a notice');
        },
      });
      await transport.open();
      const sending = sendOn(transport, () => state.connections >= last);
      while (state.connections < last) await once(server, 'connection');
      await transport.close();
      await sending;
      return CONNECTIONS;
    },
  });
}

t.test('whatever a collector says over TCP, the exporter goes on', async (t) => {
  await expectPersistence(t, 'collectors over TCP', false);
});

t.test('whatever a collector says over TLS, the exporter goes on', async (t) => {
  await expectPersistence(t, 'collectors over TLS', true);
});
