// Takes messages from the backlog to the transport, in order, spread over time where the transport
// wants it, and keeps account of what arrived and what was lost. Runs beside the sweeps.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ExportBacklog } from './export-backlog.js';
import type { ExportCounters } from '../export-counters.js';
import { ExportError } from '../export-error.js';
import type { MessageTransport } from './message-transport.js';
import {
  isFlowMessage,
  type FlowMessage,
  type OutgoingMessage,
} from '../messages/outgoing-message.js';
import type { Pacer } from './pacer.js';
import type { TransportSession } from './transport-session.js';

interface DeliveryOptions {
  readonly backlog: ExportBacklog;
  readonly transport: MessageTransport;
  readonly session: TransportSession;
  readonly counters: ExportCounters;
  /** Undefined: as fast as the transport takes them. */
  readonly pacer: Pacer | undefined;
  /** Waits for room as long as messages leave. */
  readonly isPatient?: boolean;
  /** How far apart messages may be by that. */
  readonly paceMs?: number;
}

/** A backlog from which nothing leaves for so long is not waited for. */
const STALLED_MS = 1000;
/**
 * How long a sweep waits for room in all. Over UDP it is our own pace that fills the backlog, and a
 * million flows take half a minute; a collector that takes messages slowly would hold up the others.
 */
const MOST_WAIT_MS = { paced: 60_000, reliable: 2000 } as const;
const POLL_MS = 5;
/** Messages that are taken before others get their turn. */
const OFFERS_A_TURN = 32;
const REFUSAL_INTERVAL_MS = 1000;
/** Why messages are lost that were not sent. */
const ENDED = 'the exporter ended before the collector took them';

export class Delivery {
  readonly #options: DeliveryOptions;
  #running: Promise<void> | undefined;
  #isStopped = false;
  #wake: (() => void) | undefined;
  #sessionNumber: number | undefined;
  #arrived = 0;
  #refusalsSeen = 0;
  /** When templates were last sent again on account of refusals. */
  #answeredMs = -Infinity;
  #hasLostControl = false;
  /** When a message last left the backlog. */
  #movedMs = -Infinity;
  /** The same, when it was waited in vain for the next to leave. */
  #givenUpMs = NaN;
  #offered = 0;
  /** For room, in this sweep. */
  #waitedMs = 0;
  readonly #mostWaitMs: number;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    const usualMs = MOST_WAIT_MS[options.transport.isReliable ? 'reliable' : 'paced'];
    this.#mostWaitMs = options.isPatient === true ? Infinity : usualMs;
  }

  get isStarted(): boolean {
    return this.#running !== undefined;
  }

  /** Begins with the first sweep; what the metering process tells of itself is known by then. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** From now on a sweep waits for room anew. */
  beginSweep(): void {
    this.#waitedMs = 0;
  }

  /**
   * Puts a message into the backlog. Waits for room as long as messages leave it, up to a limit for
   * the whole sweep; counts the message as lost when there is none.
   */
  async offer(message: FlowMessage): Promise<void> {
    const { backlog, counters } = this.#options;
    // Whoever encodes a whole sweep at once would leave no time to send it.
    if (++this.#offered % OFFERS_A_TURN === 0) await nextTurn();
    if (!(await this.#awaitRoom(message))) {
      const reason = this.#isStopped
        ? ENDED
        : 'the backlog is full: the collector does not keep up';
      counters.lose(message, reason);
      return;
    }
    backlog.put(message);
    this.wake();
  }

  /**
   * Waits as long as messages leave, and for a while from when it began to wait: before, the exporter itself
   * may have stood still. When that was in vain, not again until a message has left.
   */
  async #awaitRoom(message: FlowMessage): Promise<boolean> {
    const { backlog, paceMs = 0 } = this.#options;
    const begunMs = performance.now();
    // At a message a second, one second is not long.
    const stalledMs = Math.max(STALLED_MS, 2 * paceMs);
    while (!backlog.hasRoom(message)) {
      if (this.#isStopped) return false;
      const hadLeftMs = this.#movedMs;
      const isOver = this.#waitedMs > this.#mostWaitMs;
      const isGivenUp = isOver || hadLeftMs === this.#givenUpMs;
      const startMs = performance.now();
      // Also then: messages leave only where others get their turn.
      await (isGivenUp ? nextTurn() : sleep(POLL_MS));
      this.#waitedMs += performance.now() - startMs;
      this.noteArrivals();
      // Not given up: the next sweep waits anew.
      if (isOver) return backlog.hasRoom(message);
      if (this.#movedMs !== hadLeftMs) continue;
      if (!isGivenUp && performance.now() - Math.max(hadLeftMs, begunMs) <= stalledMs) continue;
      this.#givenUpMs = hadLeftMs;
      return backlog.hasRoom(message);
    }
    return true;
  }

  /** Looks whether templates or options are due. */
  wake(): void {
    this.#wake?.();
  }

  /** Resolves when everything has arrived, nothing moves for `patienceMs`, or `mostMs` are over. */
  async drain(patienceMs: number, mostMs = Infinity): Promise<void> {
    const { backlog, session } = this.#options;
    const endMs = performance.now() + mostMs;
    this.#movedMs = performance.now();
    while (!(backlog.isEmpty && !session.isControlDue)) {
      if (performance.now() - this.#movedMs > patienceMs || performance.now() > endMs) return;
      await sleep(POLL_MS);
      this.noteArrivals();
    }
  }

  /** Nothing more is sent, and nobody waits for room: what comes is lost, and what waits at stop(). */
  abandon(): void {
    this.#isStopped = true;
    this.wake();
  }

  /** What has not arrived by now is lost, and the transport is closed. */
  async stop(): Promise<void> {
    const { backlog, counters, transport } = this.#options;
    this.#isStopped = true;
    this.wake();
    await transport.close();
    await this.#running;
    this.noteArrivals();
    for (const message of backlog.clear()) {
      counters.lose(message, ENDED);
    }
  }

  async #run(): Promise<void> {
    const { backlog, session } = this.#options;
    while (!this.#isStopped) {
      const isIdle = backlog.peek() === undefined && !session.isControlDue;
      if (isIdle && backlog.isEmpty) {
        await this.#sleepUntilWoken();
        continue;
      }
      try {
        // Also without anything to send: what was sent may have to go again, in another session.
        await this.#followSession();
        if (isIdle) await sleep(POLL_MS);
        for (const message of session.takeDue()) await this.#transmit(message);
        await this.#announce();
        // Without a wait between: what is packed meanwhile refers to what was not announced.
        const next = backlog.peek();
        if (next !== undefined) await this.#transmit(next);
      } catch (error) {
        if (!(error instanceof ExportError)) throw error;
        if (error.code === 'not-open') return;
        // session-lost: the next one begins with what has not arrived
      }
    }
  }

  /** Until nothing is left to announce. */
  async #announce(): Promise<void> {
    const { session } = this.#options;
    for (;;) {
      const messages = session.takeAnnouncements();
      if (messages.length === 0) return;
      for (const message of messages) await this.#transmit(message);
    }
  }

  async #followSession(): Promise<void> {
    const { backlog, session, transport, counters } = this.#options;
    this.noteArrivals();
    const number = await transport.ready();
    if (number !== this.#sessionNumber) {
      if (this.#sessionNumber !== undefined) counters.newSessions++;
      this.#sessionNumber = number;
      this.#arrived = 0;
      backlog.rewind();
      session.begin(transport.isReliable);
    }
    const refusals = transport.refusals();
    const nowMs = performance.now();
    // A collector that did not listen has missed its templates. Not with each message to one that is
    // away: they are refused too.
    const isAnswered =
      refusals === this.#refusalsSeen || nowMs - this.#answeredMs < REFUSAL_INTERVAL_MS;
    // Templates that could not be sent go with the next flows, and not at once: it may fail each time.
    const isMissing = this.#hasLostControl && backlog.peek() !== undefined;
    if (isAnswered && !isMissing) return;
    session.expireTemplates();
    this.#hasLostControl = false;
    this.#refusalsSeen = refusals;
    this.#answeredMs = nowMs;
  }

  async #transmit(message: OutgoingMessage): Promise<void> {
    const { backlog, session, transport, counters, pacer } = this.#options;
    for (let wait = pacer?.take() ?? 0; wait > 0; wait = pacer?.take() ?? 0) await sleep(wait);
    if (this.#isStopped) return;
    session.writeHeader(message);
    try {
      await transport.send(message.bytes, message.bytes.length);
    } catch (error) {
      if (error instanceof ExportError && isEnd(error)) throw error;
      if (isFlowMessage(message)) backlog.drop();
      else this.#hasLostControl = true;
      counters.fail(message, error);
      return;
    }
    if (isFlowMessage(message)) backlog.sent();
    else backlog.controlSent(message);
    this.#movedMs = performance.now();
    this.noteArrivals();
  }

  /** Asks the transport what has arrived. */
  noteArrivals(): void {
    const { backlog, transport, counters } = this.#options;
    const confirmed = transport.confirmed();
    if (confirmed <= this.#arrived) return;
    for (const message of backlog.arrived(confirmed - this.#arrived)) counters.arrive(message);
    this.#arrived = confirmed;
    this.#movedMs = performance.now();
  }

  async #sleepUntilWoken(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}

/** Of the session or of the transport: the message is not lost by it. */
function isEnd({ code }: ExportError): boolean {
  return code === 'session-lost' || code === 'not-open';
}
