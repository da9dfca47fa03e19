// One connection to a collector, which is one Transport Session: what was written to it, and how
// much of that the collector's host has acknowledged.
import { ExportError } from '../export-error.js';
import { failureReason } from './tcp-connect.js';
import type { TcpLink } from './tcp-connect.js';
import { sendQueueOf } from './unacknowledged-octets.js';
import type { SendQueue } from './unacknowledged-octets.js';

export interface TcpConnectionOptions {
  /** For error messages. */
  readonly destination: string;
  /** A connection on which nothing moves for so long, though something waits, is given up. 0: never. */
  readonly stallTimeoutMs: number;
  readonly onNotice: (text: string) => void;
}

/** How often acknowledgements are asked for while some are missing; rarer while none comes. */
const POLL_MS = 20;
const LONGEST_POLL_MS = 500;
/** The kernel walks all its socket table, which may take milliseconds: no more than a fifth of the time. */
const POLL_COST_FACTOR = 4;
/** Nothing moved in so many polls either: this process may have stood still, and not the collector. */
const STALLED_POLLS = 3;
/** A live connection that is not in /proc so often will never be. */
const BLIND_POLLS = 5;
const CLOSE_WAIT_MS = 1000;

/** node:net's own: what libuv has not yet handed to the kernel. Not documented, so it may be gone. */
interface StreamHandle {
  readonly writeQueueSize?: number;
}

export class TcpConnection {
  /** Resolves to the reason when the connection has ended, in whatever way. */
  readonly lost: Promise<string>;
  readonly #options: TcpConnectionOptions;
  readonly #link: TcpLink;
  readonly #queue: SendQueue;
  /** Where, in octets of the connection, each message ends that is not confirmed. */
  #ends: number[] = [];
  #confirmed = 0;
  #acknowledgedOctets = 0;
  #resolveLost: (reason: string) => void = () => undefined;
  #rejectSend: ((error: ExportError) => void) | undefined;
  #isLost = false;
  #timer: NodeJS.Timeout | undefined;
  #pollMs = POLL_MS;
  #movedMs = 0;
  #pollsSinceMoved = 0;
  #writtenOctets = 0;
  #lastEnd = 0;
  #isInProc = false;
  #blindPolls = 0;
  #onConfirmed: (() => void) | undefined;

  constructor(link: TcpLink, options: TcpConnectionOptions) {
    const { raw, stream } = link;
    this.#link = link;
    this.#options = options;
    this.lost = new Promise((resolve) => (this.#resolveLost = resolve));
    const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = raw;
    this.#queue = sendQueueOf({ localAddress, localPort, remoteAddress, remotePort });
    for (const socket of new Set([raw, stream])) {
      socket.on('error', (error) => this.#lose(failureReason(error)));
      socket.on('close', () => this.#lose('the connection was closed'));
    }
    stream.on('end', () => this.#lose('the collector closed the connection'));
    stream.resume(); // a collector has nothing to say; what it says all the same is dropped
    if (raw.destroyed || stream.readableEnded) this.#lose('the collector closed the connection');
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** How many messages the collector's host has acknowledged. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** Resolves when the kernel has the message; rejects with `session-lost`. One at a time. */
  async send(bytes: Buffer, octets: number): Promise<void> {
    if (this.#isLost) throw this.#sessionLost('the connection has ended');
    const { raw, stream } = this.#link;
    await new Promise<void>((resolve, reject) => {
      this.#rejectSend = reject;
      stream.write(bytes.subarray(0, octets), (error) => {
        if (this.#isLost) return;
        if (error !== undefined && error !== null) {
          this.#lose(failureReason(error));
          return;
        }
        this.#rejectSend = undefined;
        this.#lastEnd = raw.bytesWritten;
        this.#ends.push(this.#lastEnd);
        resolve();
      });
      this.#poll();
    });
  }

  /**
   * Waits a little for what is not yet acknowledged. What is not by then counts as lost, and the kernel
   * drops it: it must not arrive after all.
   */
  async close(): Promise<void> {
    const { raw, stream } = this.#link;
    if (this.#isLost) return;
    if (this.#rejectSend === undefined && this.#ends.length > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_WAIT_MS);
        this.#onConfirmed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const operation = `send to ${this.#options.destination}`;
    const isLeft = this.#rejectSend !== undefined || this.#ends.length > 0;
    this.#rejectSend?.(new ExportError('not-open', operation, 'the transport was closed'));
    this.#rejectSend = undefined;
    if (isLeft) this.#lose('closed');
    else this.#finish('closed');
    if (raw.destroyed) return;
    const timer = setTimeout(() => raw.destroy(), CLOSE_WAIT_MS);
    // Not once() of node:events: it rejects when an error, such as a reset, comes first.
    const closed = new Promise<void>((resolve) => raw.once('close', () => resolve()));
    stream.end(() => raw.destroy());
    await closed;
    clearTimeout(timer);
  }

  /**
   * The last moment to ask the kernel: after a reset it has forgotten the connection, and what was
   * acknowledged since the last poll is sent again. What it still has to send is dropped, because
   * it would reach the collector a second time by the next connection.
   */
  #lose(reason: string): void {
    if (this.#isLost) return;
    const unacknowledged = this.#queue.octetsNow();
    if (unacknowledged !== undefined) this.#note(this.#writtenToKernel() - unacknowledged);
    this.#finish(reason);
    this.#link.raw.resetAndDestroy();
    this.#link.stream.destroy();
    this.#rejectSend?.(this.#sessionLost(reason));
    this.#rejectSend = undefined;
  }

  #finish(reason: string): void {
    this.#isLost = true;
    clearTimeout(this.#timer);
    this.#onConfirmed?.();
    this.#resolveLost(reason);
  }

  #poll(): void {
    if (this.#timer !== undefined || this.#isLost) return;
    this.#noteMove();
    this.#pollMs = POLL_MS;
    this.#timer = setTimeout(() => void this.#ask(), POLL_MS);
  }

  async #ask(): Promise<void> {
    const startMs = performance.now();
    // Before asking: what is written meanwhile is in the answer, and must not count as acknowledged.
    const written = this.#writtenToKernel();
    const unacknowledged = await this.#queue.octets();
    if (this.#isLost) return;
    if (unacknowledged !== undefined) this.#isInProc = true;
    else this.#noteBlindness();
    const isBlind = this.#blindPolls >= BLIND_POLLS;
    if (unacknowledged !== undefined || isBlind) this.#note(written - (unacknowledged ?? 0));
    this.#timer = undefined;
    if (this.#ends.length === 0 && this.#rejectSend === undefined) {
      this.#onConfirmed?.();
      return;
    }
    if (written > this.#writtenOctets) this.#noteMove();
    this.#writtenOctets = written;
    if (this.#isStalled()) {
      this.#lose(`nothing was acknowledged for ${this.#options.stallTimeoutMs} ms`);
      return;
    }
    const nowMs = performance.now();
    this.#pollMs = this.#movedMs >= startMs ? POLL_MS : Math.min(this.#pollMs * 2, LONGEST_POLL_MS);
    const costMs = Math.min((nowMs - startMs) * POLL_COST_FACTOR, LONGEST_POLL_MS);
    const delayMs = Math.max(this.#pollMs, costMs);
    this.#timer = setTimeout(() => void this.#ask(), delayMs);
  }

  #noteMove(): void {
    this.#movedMs = performance.now();
    this.#pollsSinceMoved = 0;
  }

  #isStalled(): boolean {
    const { stallTimeoutMs } = this.#options;
    if (stallTimeoutMs === 0 || ++this.#pollsSinceMoved < STALLED_POLLS) return false;
    return performance.now() - this.#movedMs > stallTimeoutMs;
  }

  /** Without /proc/net all that the kernel took counts as arrived: else it would wait for ever. */
  #noteBlindness(): void {
    if (this.#isInProc || ++this.#blindPolls !== BLIND_POLLS) return;
    const { destination, onNotice } = this.#options;
    onNotice(`${destination}: /proc/net does not tell what has arrived; what breaks off is lost`);
  }

  /** Octets of the connection that left Node, TLS included. */
  #writtenToKernel(): number {
    const { raw } = this.#link;
    const { _handle: handle } = raw as { _handle?: StreamHandle | null };
    const waiting = handle?.writeQueueSize;
    return waiting === undefined ? this.#lastEnd : raw.bytesWritten - waiting;
  }

  #note(acknowledged: number): void {
    if (acknowledged <= this.#acknowledgedOctets) return;
    this.#noteMove();
    this.#acknowledgedOctets = acknowledged;
    const next = this.#ends.findIndex((end) => end > acknowledged);
    const count = next < 0 ? this.#ends.length : next;
    this.#ends.splice(0, count);
    this.#confirmed += count;
  }

  #sessionLost(reason: string): ExportError {
    return new ExportError('session-lost', `send to ${this.#options.destination}`, reason);
  }
}
