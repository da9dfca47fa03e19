// A collector of numbered messages over TCP or TLS, that stalls, ends and comes back as told; and
// what an exporting process does with a transport, in its shortest form.
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import type { TlsOptions } from 'node:tls';
import { ExportError } from '../../src/exporter/export-error.js';
import type { MessageTransport } from '../../src/exporter/delivery/message-transport.js';
import { MessageSplitter } from './decoder/message-splitter.js';
import type { Teardown } from './program.js';

/** An IPFIX message header with the number as its sequence number; zeros behind it. */
export function numberedMessage(number: number, octets: number): Buffer {
  const message = Buffer.alloc(octets);
  message.writeUInt16BE(10, 0);
  message.writeUInt16BE(octets, 2);
  message.writeUInt32BE(number, 8);
  return message;
}

export interface CollectorOptions {
  readonly address?: string;
  readonly port?: number;
  readonly tls?: TlsOptions;
  /** Connections are not read until resume(). */
  readonly isPaused?: boolean;
}

class CollectedConnection {
  readonly socket: Socket;
  /** Those that came whole. */
  readonly messages: Buffer[] = [];
  readonly numbers: number[] = [];
  readonly #splitter = new MessageSplitter();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
  }

  take(bytes: Buffer): void {
    for (const message of this.#splitter.push(bytes)) {
      this.messages.push(message);
      this.numbers.push(message.readUInt32BE(8));
    }
  }
}

export class TcpCollector {
  readonly connections: CollectedConnection[] = [];
  readonly #server: Server;
  /** Those too whose TLS handshake fails. */
  readonly #sockets = new Set<Socket>();
  readonly #events = new EventEmitter();

  private constructor(server: Server, isPaused: boolean) {
    this.#server = server;
    this.#events.setMaxListeners(0);
    server.on('tlsClientError', () => undefined);
    server.on('connection', (socket) => this.#sockets.add(socket));
    const event = server instanceof EventEmitter && 'setSecureContext' in server;
    server.on(event ? 'secureConnection' : 'connection', (socket: Socket) => {
      const connection = new CollectedConnection(socket);
      this.connections.push(connection);
      if (isPaused) socket.pause();
      else this.#read(connection);
      this.#events.emit('change');
    });
  }

  static async listen(t: Teardown, options: CollectorOptions = {}): Promise<TcpCollector> {
    const { address = '127.0.0.1', port = 0, tls, isPaused = false } = options;
    const server =
      tls === undefined
        ? createServer({ pauseOnConnect: isPaused, allowHalfOpen: true })
        : createTlsServer({ ...tls, allowHalfOpen: true });
    const collector = new TcpCollector(server, isPaused);
    server.listen(port, address);
    await once(server, 'listening');
    t.teardown(() => collector.stop());
    return collector;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  /** Numbers of all messages that came whole, in the order of the connections. */
  get numbers(): readonly number[] {
    return this.connections.flatMap(({ numbers }) => numbers);
  }

  /** Reads the n-th connection from now on. */
  resume(n: number): void {
    const connection = this.connections[n];
    if (connection === undefined) throw new Error(`there is no connection ${n}`);
    this.#read(connection);
  }

  /** Resolves when all that was sent by connections that have ended is read. */
  async allEnded(): Promise<void> {
    await this.until(({ connections }) => connections.every(({ socket }) => socket.closed));
  }

  /** Resolves when it is so; asked at each message, connection and end of one. */
  async until(isSo: (collector: this) => boolean): Promise<void> {
    while (!isSo(this)) await once(this.#events, 'change');
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const { socket } of this.connections) socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #read(connection: CollectedConnection): void {
    const { socket } = connection;
    socket.on('data', (bytes: Buffer) => {
      connection.take(bytes);
      this.#events.emit('change');
    });
    socket.on('end', () => socket.end());
    socket.on('close', () => this.#events.emit('change'));
    socket.resume();
  }
}

/** Sends the messages 0 to count - 1; again from the first that has not arrived, when a session ends. */
export async function deliver(
  transport: MessageTransport,
  count: number,
  octets: number,
): Promise<void> {
  let session: number | undefined;
  let first = 0;
  let next = 0;
  for (;;) {
    const confirmed = transport.confirmed();
    if (session !== undefined && first + confirmed === count) return;
    const current = await transport.ready();
    if (current !== session) {
      if (session !== undefined) first += confirmed;
      session = current;
      next = first;
    }
    if (next === count) {
      await delay(1);
      continue;
    }
    try {
      await transport.send(numberedMessage(next, octets), octets);
      next++;
    } catch (error) {
      if (!(error instanceof ExportError) || error.code !== 'session-lost') throw error;
    }
  }
}

/** Polls what has no event. */
export async function eventually(isSo: () => boolean): Promise<void> {
  while (!isSo()) await delay(2);
}
