// One connection to a collector, which is one Transport Session: what was written to it, and how
// much of that the collector's host has acknowledged.
import { ExportError } from '../export-error.js';
import { failureReason } from './tcp-connect.js';
import type { TcpLink } from './tcp-connect.js';
import { octetsInKernel, openSendQueueOf } from './send-queue.js';
import type { SendQueue, SendQueueOpener } from './send-queue.js';

export interface TcpConnectionOptions {
  /** For error messages. */
  readonly destination: string;
  /** A connection on which nothing moves for so long, though something waits, is given up. 0: never. */
  readonly stallTimeoutMs: number;
  readonly openSendQueue: SendQueueOpener;
  readonly onNotice: (text: string) => void;
}

/** How often acknowledgements are asked for while some are missing; rarer while none comes. */
const POLL_MS = 20;
const LONGEST_POLL_MS = 500;
/** Nothing moved in so many polls either: this process may have stood still, and not the collector. */
const STALLED_POLLS = 3;
const CLOSE_WAIT_MS = 1000;

export class TcpConnection {
  /** Resolves to the reason when the connection has ended, in whatever way. */
  readonly lost: Promise<string>;
  readonly #options: TcpConnectionOptions;
  readonly #link: TcpLink;
  readonly #queue: SendQueue | undefined;
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
  #onConfirmed: (() => void) | undefined;

  constructor(link: TcpLink, options: TcpConnectionOptions) {
    const { raw, stream } = link;
    this.#link = link;
    this.#options = options;
    this.lost = new Promise((resolve) => (this.#resolveLost = resolve));
    this.#queue = openSendQueueOf(raw, options.openSendQueue);
    if (this.#queue === undefined && !raw.destroyed) this.#noteBlindness();
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
    if (stream === raw) {
      stream.end(() => raw.destroy());
    } else {
      // TLS answers that the end was understood. Not to read that would be a reset to the collector.
      stream.once('end', () => raw.destroy());
      stream.end();
    }
    await closed;
    clearTimeout(timer);
  }

  /**
   * What was acknowledged since the last poll is asked for once more. What the kernel still has to send
   * is dropped, because it would reach the collector a second time by the next connection.
   */
  #lose(reason: string): void {
    if (this.#isLost) return;
    if (this.#queue !== undefined) this.#note(this.#acknowledged());
    this.#finish(reason);
    this.#link.raw.resetAndDestroy();
    this.#link.stream.destroy();
    this.#rejectSend?.(this.#sessionLost(reason));
    this.#rejectSend = undefined;
  }

  #finish(reason: string): void {
    this.#isLost = true;
    this.#queue?.close();
    clearTimeout(this.#timer);
    this.#onConfirmed?.();
    this.#resolveLost(reason);
  }

  #poll(): void {
    if (this.#timer !== undefined || this.#isLost) return;
    this.#noteMove();
    this.#pollMs = POLL_MS;
    this.#timer = setTimeout(() => this.#ask(), POLL_MS);
  }

  #ask(): void {
    this.#timer = undefined;
    const askedMs = performance.now();
    this.#note(this.#acknowledged());
    if (this.#ends.length === 0 && this.#rejectSend === undefined) {
      this.#onConfirmed?.();
      return;
    }
    const written = this.#writtenToKernel();
    if (written > this.#writtenOctets) this.#noteMove();
    this.#writtenOctets = written;
    if (this.#isStalled()) {
      this.#lose(`nothing was acknowledged for ${this.#options.stallTimeoutMs} ms`);
      return;
    }
    const hasMoved = this.#movedMs >= askedMs;
    this.#pollMs = hasMoved ? POLL_MS : Math.min(this.#pollMs * 2, LONGEST_POLL_MS);
    this.#timer = setTimeout(() => this.#ask(), this.#pollMs);
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

  #noteBlindness(): void {
    const { destination, onNotice } = this.#options;
    onNotice(`${destination}: Node does not tell what has arrived; what breaks off is lost`);
  }

  /** Octets. Where nobody tells, all that the kernel took counts: else it would wait for ever. */
  #acknowledged(): number {
    return this.#writtenToKernel() - (this.#queue?.octets() ?? 0);
  }

  #writtenToKernel(): number {
    return octetsInKernel(this.#link.raw) ?? this.#lastEnd;
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
