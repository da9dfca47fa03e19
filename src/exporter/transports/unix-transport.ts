// Messages over a Unix datagram socket, to a collector on the same host that has bound one. Its
// queue makes the sender wait, so nothing is lost while it lives.
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import { ExportError, systemErrorCode } from '../export-error.js';
import type { MessageTransport } from '../delivery/message-transport.js';
import { createTurns, nextTurn } from './event-loop-turns.js';

/** A connected socket. Node has none; src/bpf-loader/ has. */
export interface UnixDatagramSocket {
  /** Sends the first `octets` without waiting; 0, or a positive errno. */
  readonly send: (bytes: Buffer, octets: number) => number;
  readonly close: () => void;
}

/** Throws an Error with a `code` (ENOENT). */
export type UnixDatagramOpener = (path: string) => UnixDatagramSocket;

export interface UnixTransportOptions {
  readonly path: string;
  readonly openUnixDatagram: UnixDatagramOpener;
  /** How often a receiver that is away is looked for. Default each second. */
  readonly retryIntervalMs?: number | undefined;
  /** Told in words what is worth a line of the log: a receiver that is away, or back. */
  readonly onNotice?: ((text: string) => void) | undefined;
}

/** sockaddr_un has 108 octets for it, the NUL included. */
const LONGEST_PATH_OCTETS = 107;
const DEFAULT_RETRY_INTERVAL_MS = 1000;
/** Its queue is full. */
const BUSY = ['EAGAIN', 'ENOBUFS', 'ENOMEM'];
/** Nobody has bound the socket, or not any more. */
const AWAY = ['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'ENOTCONN', 'EPIPE'];
/** A receiver takes microseconds for a message; a busy one is asked ever more rarely. */
const EAGER_TURNS = 10;
const LONGEST_WAIT_MS = 20;

/** A session is one socket of the receiver's. What is in its queue when it ends is lost with it. */
export function createUnixTransport(options: UnixTransportOptions): MessageTransport {
  return new UnixTransport(options);
}

class UnixTransport implements MessageTransport {
  readonly destination: string;
  readonly isReliable = true;
  readonly #options: UnixTransportOptions;
  readonly #takeTurn = createTurns();
  readonly #closing = new AbortController();
  #isOpen = false;
  #socket: UnixDatagramSocket | undefined;
  #connecting: Promise<void> | undefined;
  #session = 0;
  #sent = 0;
  #refusals = 0;
  #lastNotice = '';

  constructor(options: UnixTransportOptions) {
    this.#options = options;
    this.destination = `unix://${options.path}`;
  }

  async open(): Promise<void> {
    const { path } = this.#options;
    const octets = Buffer.byteLength(path);
    const operation = `open ${this.destination}`;
    if (octets > LONGEST_PATH_OCTETS || octets === 0) {
      const reason = `the path of a socket has 1 to ${LONGEST_PATH_OCTETS} octets, not ${octets}`;
      throw new ExportError('bad-option', operation, reason);
    }
    const found = await stat(path).catch(() => undefined);
    if (found?.isSocket() === false) {
      // Connecting would say ECONNREFUSED, as of a receiver that has ended.
      const what = found.isDirectory() ? 'a directory' : 'a file';
      throw new ExportError('connect', operation, `it is ${what} and not a socket`);
    }
    const failure = this.#tryToConnect();
    if (failure !== undefined && !AWAY.includes(failure)) {
      const advice = failure === 'EPROTOTYPE' ? ' (it is not a datagram socket)' : '';
      throw new ExportError('connect', operation, `${failure}${advice}`);
    }
    if (failure !== undefined) this.#noteAway(failure);
    this.#isOpen = true;
  }

  async ready(): Promise<number> {
    if (this.#isOpen && this.#socket === undefined) {
      this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
      await this.#connecting;
    }
    if (!this.#isOpen) throw this.#notOpen();
    return this.#session;
  }

  async send(bytes: Buffer, octets: number): Promise<void> {
    await this.#takeTurn();
    const operation = `send a message of ${octets} octets to ${this.destination}`;
    for (let attempt = 0; ; attempt++) {
      if (!this.#isOpen) throw this.#notOpen();
      const errno = this.#socket?.send(bytes, octets);
      if (errno === 0) break;
      const code = errno === undefined ? 'ENOTCONN' : getSystemErrorName(-errno);
      if (AWAY.includes(code)) {
        if (errno !== undefined) this.#lose(code);
        throw new ExportError('session-lost', operation, `${code}: the receiver is gone`);
      }
      if (!BUSY.includes(code)) {
        const advice = code === 'EMSGSIZE' ? ' (lower the message limit)' : '';
        throw new ExportError('send', operation, `${code}${advice}`);
      }
      await this.#waitForRoom(attempt);
    }
    this.#sent++;
  }

  confirmed(): number {
    return this.#sent;
  }

  refusals(): number {
    return this.#refusals;
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    this.#closing.abort();
    this.#socket?.close();
    this.#socket = undefined;
    await this.#connecting;
  }

  #lose(code: string): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#noteAway(code);
  }

  async #connect(): Promise<void> {
    const { retryIntervalMs = DEFAULT_RETRY_INTERVAL_MS } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const failure = this.#tryToConnect();
      if (failure === undefined) return;
      this.#noteAway(failure);
      await delay(retryIntervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Why it failed, or undefined. */
  #tryToConnect(): string | undefined {
    try {
      this.#socket = this.#options.openUnixDatagram(this.#options.path);
    } catch (error) {
      return systemErrorCode(error);
    }
    if (this.#lastNotice !== '') this.#notice(`connected to ${this.destination}`);
    this.#lastNotice = '';
    this.#session++;
    this.#sent = 0;
    return undefined;
  }

  async #waitForRoom(attempt: number): Promise<void> {
    if (attempt < EAGER_TURNS) return nextTurn();
    const waitMs = Math.min(attempt - EAGER_TURNS + 1, LONGEST_WAIT_MS);
    await delay(waitMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  #noteAway(code: string): void {
    this.#refusals++;
    this.#notice(`${this.destination} is away: ${code}; it is awaited`);
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
