// Messages over UDP: one datagram each, to an address or a multicast group. A collector that moves
// to another address is followed there.
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { ExportError, systemErrorCode } from '../export-error.js';
import type { MessageTransport } from '../delivery/message-transport.js';
import { endpointUrl, lookUpName, resolveEndpoint } from './endpoint.js';
import type { Endpoint, NameLookup, ResolvedAddress, SourceAddress } from './endpoint.js';
import { createTurns } from './event-loop-turns.js';
import { LocalReceiver, isOwnAddress } from './local-receiver.js';
import { openUdpSocket } from './udp-socket.js';
import type { DatagramsSender, RawSocketOpener, UdpSocket } from './udp-socket.js';

export interface UdpTransportOptions extends Endpoint {
  readonly source?: SourceAddress | undefined;
  /** The interface that messages leave by, whatever the routes say. Needs `openSocket`. */
  readonly device?: string | undefined;
  readonly openSocket?: RawSocketOpener | undefined;
  /** Sends many messages in one call of the system. Needs `openSocket`. */
  readonly sendDatagrams?: DatagramsSender | undefined;
  /** How many routers a multicast message may pass. Default 1: it stays on the network's link. */
  readonly multicastHops?: number | undefined;
  /** How often a name is looked up again. Default 5 minutes. */
  readonly resolveIntervalMs?: number | undefined;
  /**
   * How soon after a failure a name is looked up, or a socket that does not send any more replaced,
   * and how soon again. Default 5 seconds: other names' lookups wait for the same threads.
   */
  readonly retryIntervalMs?: number | undefined;
  /** Told in words what is worth a line of the log: a moved collector, a name that is gone. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Stands in for the system's resolver in tests. */
  readonly lookUp?: NameLookup | undefined;
}

export const DEFAULT_RESOLVE_INTERVAL_MS = 300_000;
const DEFAULT_RETRY_INTERVAL_MS = 5000;
/** They say nothing about the socket: another message, or this one later, may well be sent. */
const HARMLESS_ERRORS = ['ECONNREFUSED', 'EMSGSIZE', 'ENOBUFS', 'ENOMEM', 'EAGAIN', 'EPERM'];
/** Name servers that do not answer and routes that are missing, as at boot: they may come. */
const AWAY = ['EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN'];

/**
 * A session is one socket to one address; without one messages wait. A name that has no address is an
 * error at open(); later the messages go on to the address that was known.
 */
export function createUdpTransport(options: UdpTransportOptions): MessageTransport {
  return new UdpTransport(options);
}

class UdpTransport implements MessageTransport {
  readonly destination: string;
  readonly isReliable = false;
  readonly #options: UdpTransportOptions;
  readonly #retryIntervalMs: number;
  readonly #closing = new AbortController();
  readonly #takeTurn = createTurns();
  #state: 'new' | 'open' | 'closed' = 'new';
  #socket: UdpSocket | undefined;
  /** Where the collector is now; the socket follows at the next ready(). */
  #remote: ResolvedAddress | undefined;
  #socketRemote: ResolvedAddress | undefined;
  /** The collector's socket, where it is on this host. */
  #receiver: LocalReceiver | undefined;
  #isBroken = false;
  #reopening: Promise<void> | undefined;
  #reopenedMs = -Infinity;
  #isLookingUp = false;
  #lookedUpAfterFailureMs = -Infinity;
  #isNameGone = false;
  /** Of opening a socket; said once, however often it is tried again. */
  #lastFailure = '';
  #timer: NodeJS.Timeout | undefined;
  #session = 0;
  #sent = 0;
  #refusals = 0;

  constructor(options: UdpTransportOptions) {
    this.#options = options;
    this.#retryIntervalMs = options.retryIntervalMs ?? DEFAULT_RETRY_INTERVAL_MS;
    this.destination = endpointUrl('udp', options);
  }

  async open(): Promise<void> {
    try {
      this.#reopenedMs = performance.now();
      this.#remote = (await this.#resolve())[0];
      await this.#openSocket(this.#remote);
    } catch (error) {
      const isAway = error instanceof ExportError && AWAY.includes(systemErrorCode(error.cause));
      if (!isAway) throw error;
      this.#noteNoSocket(error);
    }
    this.#state = 'open';
    if (isIP(this.#options.host) !== 0) return;
    const intervalMs = this.#options.resolveIntervalMs ?? DEFAULT_RESOLVE_INTERVAL_MS;
    this.#timer = setInterval(() => this.#lookUpAgain(), intervalMs);
  }

  async ready(): Promise<number> {
    for (;;) {
      if (this.#needsSocket()) {
        this.#reopening ??= this.#reopen().finally(() => (this.#reopening = undefined));
        await this.#reopening;
      }
      if (this.#state !== 'open') throw this.#notOpen();
      if (this.#socket !== undefined) return this.#session;
      await this.#waitToRetry();
    }
  }

  async send(bytes: Buffer, octets: number): Promise<void> {
    await this.sendMany([bytes.subarray(0, octets)]);
  }

  async sendMany(messages: readonly Buffer[]): Promise<number> {
    await this.#takeTurn();
    const room = await this.#receiver?.awaitRoom(messages.length);
    const socket = this.#socket;
    const octets = messages[0]?.length ?? 0;
    if (this.#state !== 'open') throw this.#notOpen();
    if (socket === undefined) throw this.#sendError(octets, 'there is no socket to it');
    const run = messages.slice(0, room);
    let sent: number;
    try {
      sent = await socket.send(run);
    } catch (first) {
      if (this.#isClosed()) throw this.#notOpen();
      this.#noteFailure(first);
      if (systemErrorCode(first) !== 'ECONNREFUSED') throw this.#sendError(octets, first);
      // The error is an earlier datagram's, and this one was not sent on its account.
      this.#refusals++;
      sent = await socket.send(run).catch((second: unknown) => {
        throw this.#sendError(octets, second);
      });
    }
    this.#sent += sent;
    return sent;
  }

  hasFlowControl(): boolean {
    return this.#receiver?.isAwaited ?? false;
  }

  confirmed(): number {
    return this.#sent;
  }

  refusals(): number {
    return this.#refusals;
  }

  refresh(): void {
    if (this.#state === 'open' && isIP(this.#options.host) === 0) this.#lookUpAgain();
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    this.#closing.abort();
    clearInterval(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    await socket?.close();
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #needsSocket(): boolean {
    if (this.#state !== 'open') return false;
    if (this.#remote !== this.#socketRemote) return true;
    return this.#isBroken && performance.now() - this.#reopenedMs >= this.#retryIntervalMs;
  }

  async #waitToRetry(): Promise<void> {
    const waitMs = this.#reopenedMs + this.#retryIntervalMs - performance.now();
    const { signal } = this.#closing;
    await delay(Math.max(1, waitMs), undefined, { signal }).catch(() => undefined);
  }

  /** Closes the old socket first: the new one may need its port. */
  async #reopen(): Promise<void> {
    this.#reopenedMs = performance.now();
    const socket = this.#socket;
    this.#socket = undefined;
    try {
      await socket?.close();
      this.#remote ??= (await this.#resolve())[0];
      await this.#openSocket(this.#remote);
    } catch (error) {
      if (this.#state !== 'open') return;
      this.#noteNoSocket(error);
      this.#noteFailure(error);
    }
  }

  #noteNoSocket(error: unknown): void {
    this.#isBroken = true;
    this.#socketRemote = this.#remote;
    const text = error instanceof Error ? error.message : String(error);
    if (text !== this.#lastFailure) {
      const seconds = this.#retryIntervalMs / 1000;
      this.#notice(`${text}; messages wait, tried again every ${seconds} s`);
    }
    this.#lastFailure = text;
  }

  async #openSocket(remote: ResolvedAddress): Promise<void> {
    const { port, multicastHops = 1 } = this.#options;
    const { destination } = this;
    const socketOptions = { ...this.#options, remote, destination, multicastHops };
    const opened = await openUdpSocket(socketOptions, (error) => {
      this.#refusals++;
      this.#noteFailure(error);
    });
    if (this.#state === 'closed') {
      await opened.close();
      throw this.#notOpen();
    }
    if (this.#lastFailure !== '') this.#notice(`messages go to ${this.destination} now`);
    this.#socket = opened;
    this.#socketRemote = remote;
    this.#receiver = isOwnAddress(remote.address) ? new LocalReceiver({ port }) : undefined;
    this.#isBroken = false;
    this.#lastFailure = '';
    this.#session++;
    this.#sent = 0;
  }

  #noteFailure(error: unknown): void {
    if (!HARMLESS_ERRORS.includes(systemErrorCode(error))) this.#isBroken = true;
    if (isIP(this.#options.host) !== 0) return;
    const nowMs = performance.now();
    if (nowMs - this.#lookedUpAfterFailureMs < this.#retryIntervalMs) return;
    this.#lookedUpAfterFailureMs = nowMs;
    this.#lookUpAgain();
  }

  #lookUpAgain(): void {
    if (this.#isLookingUp) return;
    this.#isLookingUp = true;
    void this.#follow().finally(() => (this.#isLookingUp = false));
  }

  /** An address that is still among the name's is kept: some resolvers turn their order. */
  async #follow(): Promise<void> {
    const known = this.#remote;
    if (known === undefined) return; // ready() looks it up
    try {
      const found = await this.#resolve();
      this.#isNameGone = false;
      if (this.#state !== 'open') return;
      if (found.some(({ address }) => address === known.address)) return;
      this.#remote = found[0];
      this.#notice(`${this.destination} is now ${found[0].address}, was ${known.address}`);
    } catch (error) {
      if (this.#isNameGone || this.#state !== 'open') return;
      this.#isNameGone = true;
      const reason = error instanceof Error ? error.message : String(error);
      this.#notice(`${reason}; messages still go to ${known.address}`);
    }
  }

  #resolve(): Promise<readonly [ResolvedAddress, ...ResolvedAddress[]]> {
    const { source, lookUp = lookUpName } = this.#options;
    return resolveEndpoint(this.#options, source, lookUp);
  }

  #notice(text: string): void {
    this.#options.onNotice?.(text);
  }

  #notOpen(): ExportError {
    return new ExportError('not-open', `send to ${this.destination}`, 'the socket is not open');
  }

  #sendError(octets: number, cause: unknown): ExportError {
    const code = systemErrorCode(cause);
    const advice = code === 'EMSGSIZE' ? ' (lower the message limit below the path MTU)' : '';
    const operation = `send a message of ${octets} octets to ${this.destination}`;
    return new ExportError('send', operation, `${code}${advice}`, cause);
  }
}
