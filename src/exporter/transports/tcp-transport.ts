// Messages over TCP, or TLS: one after the other in a connection. Connects again when it breaks,
// and tells what had arrived until then.
import { setTimeout as delay } from 'node:timers/promises';
import { ExportError, systemErrorCode } from '../export-error.js';
import type { MessageTransport } from '../delivery/message-transport.js';
import { endpointUrl, lookUpName, resolveEndpoint } from './endpoint.js';
import type { Endpoint, NameLookup, ResolvedAddress, SourceAddress } from './endpoint.js';
import { createTurns, nextTurn } from './event-loop-turns.js';
import type { SendQueueOpener } from './send-queue.js';
import { connectToFirst } from './tcp-connect.js';
import type { TlsPeer } from './tcp-connect.js';
import { TcpConnection } from './tcp-connection.js';
import { readCredentials } from './tls-credentials.js';
import type { TlsOptions } from './tls-credentials.js';

export interface TcpTransportOptions extends Endpoint {
  readonly source?: SourceAddress | undefined;
  /** Plain TCP when left out. */
  readonly tls?: TlsOptions | undefined;
  /** From one attempt to connect to the next, at least. Default a minute, as RFC 7011 §10.4.4 has it. */
  readonly reconnectIntervalMs?: number | undefined;
  /** For each address of the name, the TLS handshake included. Default 10 seconds. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * A connection on which the collector acknowledges nothing for so long, though something waits, is
   * given up for a new one. Default 5 minutes; 0: never.
   */
  readonly stallTimeoutMs?: number | undefined;
  readonly openSendQueue: SendQueueOpener;
  /** Told in words what is worth a line of the log: a collector that is away, or back. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Stands in for the system's resolver in tests. */
  readonly lookUp?: NameLookup | undefined;
}

export const DEFAULT_RECONNECT_INTERVAL_MS = 60_000;
export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
export const DEFAULT_STALL_TIMEOUT_MS = 300_000;

/**
 * A session is one connection. What the collector's host acknowledged is confirmed(): it may still
 * be lost there, when the collector's program ends before it has read it.
 */
export function createTcpTransport(options: TcpTransportOptions): MessageTransport {
  return new TcpTransport(options);
}

interface Waiter {
  readonly resolve: (session: number) => void;
  readonly reject: (error: ExportError) => void;
}

class TcpTransport implements MessageTransport {
  readonly destination: string;
  readonly isReliable = true;
  readonly #options: TcpTransportOptions;
  readonly #takeTurn = createTurns();
  readonly #closing = new AbortController();
  #tls: TlsPeer | undefined;
  #isOpen = false;
  #running: Promise<void> | undefined;
  /** The newest one. */
  #connection: TcpConnection | undefined;
  #session = 0;
  /** The one that ready() gave last. */
  #reported: TcpConnection | undefined;
  readonly #waiters = new Set<Waiter>();
  #refusals = 0;
  #lastNotice = '';

  constructor(options: TcpTransportOptions) {
    this.#options = options;
    this.destination = endpointUrl(options.tls === undefined ? 'tcp' : 'tls', options);
  }

  async open(): Promise<void> {
    const { tls } = this.#options;
    if (tls !== undefined) {
      const { serverName, isVerified = true } = tls;
      this.#tls = { credentials: readCredentials(tls), serverName, isVerified };
    }
    const addresses = await this.#resolveFirst();
    const first = addresses === undefined ? this.#resolveAndConnect() : this.#connect(addresses);
    // A source that this host does not have is found at once, a collector that is away is not.
    const failed = await Promise.race([first.then(Boolean, (error: unknown) => error), nextTurn()]);
    if (failed instanceof ExportError && failed.code === 'bad-option') throw failed;
    this.#isOpen = true;
    this.#running = this.#keepConnected(first);
  }

  async ready(): Promise<number> {
    if (!this.#isOpen) throw this.#notOpen();
    if (this.#connection === undefined || this.#connection.isLost) {
      await new Promise<number>((resolve, reject) => this.#waiters.add({ resolve, reject }));
    }
    this.#reported = this.#connection;
    return this.#session;
  }

  async send(bytes: Buffer, octets: number): Promise<void> {
    await this.#takeTurn();
    if (!this.#isOpen) throw this.#notOpen();
    if (this.#reported === undefined || this.#reported !== this.#connection) {
      const operation = `send to ${this.destination}`;
      throw new ExportError('session-lost', operation, 'the connection has ended');
    }
    await this.#reported.send(bytes, octets);
  }

  confirmed(): number {
    return this.#reported?.confirmed ?? 0;
  }

  refusals(): number {
    return this.#refusals;
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#closing.abort();
    for (const { reject } of this.#waiters) reject(this.#notOpen());
    this.#waiters.clear();
    await this.#connection?.close();
    await this.#running;
  }

  /** Until close(). `first` is the first attempt. */
  async #keepConnected(first: Promise<TcpConnection>): Promise<void> {
    const { reconnectIntervalMs = DEFAULT_RECONNECT_INTERVAL_MS } = this.#options;
    for (let attempt = first; ; attempt = this.#resolveAndConnect()) {
      const nextMs = performance.now() + reconnectIntervalMs;
      try {
        const connection = await attempt;
        if (this.#isClosing()) {
          await connection.close();
          return;
        }
        this.#begin(connection);
        const reason = await connection.lost;
        if (this.#isClosing()) return;
        this.#notice(`the connection to ${this.destination} is lost: ${reason}`);
      } catch (error) {
        if (this.#isClosing()) return;
        this.#refusals++;
        const reason = error instanceof Error ? error.message : String(error);
        this.#notice(`${reason}; tried again every ${reconnectIntervalMs / 1000} s`);
      }
      await this.#waitUntil(nextMs);
      if (this.#isClosing()) return;
    }
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  async #waitUntil(timeMs: number): Promise<void> {
    const { signal } = this.#closing;
    const waitMs = Math.max(0, timeMs - performance.now());
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
  }

  #begin(connection: TcpConnection): void {
    if (this.#lastNotice !== '') this.#notice(`connected to ${this.destination}`);
    this.#lastNotice = '';
    this.#connection = connection;
    this.#session++;
    for (const { resolve } of this.#waiters) resolve(this.#session);
    this.#waiters.clear();
  }

  async #connect(addresses: readonly ResolvedAddress[]): Promise<TcpConnection> {
    const {
      host,
      port,
      source,
      connectTimeoutMs: timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS,
    } = this.#options;
    const { destination } = this;
    const target = { host, port, source, destination, timeoutMs, tls: this.#tls };
    const link = await connectToFirst(addresses, target, this.#closing.signal);
    if (link.raw.localAddress === undefined) {
      const reason = 'the collector closed the connection';
      throw new ExportError('connect', `connect to ${destination}`, reason);
    }
    const { stallTimeoutMs = DEFAULT_STALL_TIMEOUT_MS, openSendQueue } = this.#options;
    const onNotice = (text: string): void => this.#options.onNotice?.(text);
    try {
      return new TcpConnection(link, { destination, stallTimeoutMs, openSendQueue, onNotice });
    } catch (error) {
      // No descriptor is left for its send queue.
      link.raw.on('error', () => undefined);
      link.raw.destroy();
      throw error;
    }
  }

  async #resolveAndConnect(): Promise<TcpConnection> {
    return this.#connect(await this.#resolve());
  }

  /** A name that does not exist is an error; undefined: the name servers are away, as at boot. */
  async #resolveFirst(): Promise<readonly ResolvedAddress[] | undefined> {
    try {
      return await this.#resolve();
    } catch (error) {
      const isAway = error instanceof ExportError && systemErrorCode(error.cause) === 'EAI_AGAIN';
      if (isAway) return undefined;
      throw error;
    }
  }

  #resolve(): Promise<readonly ResolvedAddress[]> {
    const { source, lookUp = lookUpName } = this.#options;
    return resolveEndpoint(this.#options, source, lookUp);
  }

  /** The same words only once, however often it is tried again. */
  #notice(text: string): void {
    if (text !== this.#lastNotice) this.#options.onNotice?.(text);
    this.#lastNotice = text;
  }

  #notOpen(): ExportError {
    return new ExportError('not-open', `send to ${this.destination}`, 'it is not open');
  }
}
