// Takes messages from the backlog to the transport, in order, spread over time where the transport
// wants it, and keeps account of what arrived and what was lost. Runs beside the sweeps.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ExportBacklog } from './export-backlog.js';
import type { ExportCounters } from '../export-counters.js';
import { ExportError } from '../export-error.js';
import type { MessageTransport } from './message-transport.js';
import {
  isFlowMessage,
  type ControlMessage,
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
  /** The pace holds also where the transport waits for its receiver. */
  readonly isPaceAsked?: boolean;
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
const OFFERS_A_TURN = 64;
/** Messages that are sent at a time, where the transport can. */
const RUN_MESSAGES = 64;
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
  /** They are no longer due, and in no backlog. */
  #isSendingControl = false;
  /** Messages that are handed to the transport. */
  readonly #mostAtOnce: number;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    const usualMs = MOST_WAIT_MS[options.transport.isReliable ? 'reliable' : 'paced'];
    this.#mostWaitMs = options.isPatient === true ? Infinity : usualMs;
    this.#mostAtOnce = options.transport.sendMany === undefined ? 1 : RUN_MESSAGES;
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
   * Puts a message into the backlog; undefined when that is done. Else it waits for room as long as messages
   * leave it, up to a limit for the whole sweep, and counts the message as lost when there is none.
   */
  offer(message: FlowMessage): Promise<void> | undefined {
    // Whoever encodes a whole sweep at once would leave no time to send it.
    const isTurnOver = ++this.#offered % OFFERS_A_TURN === 0;
    if (isTurnOver || !this.#options.backlog.hasRoom(message)) return this.#offerInTurn(message);
    this.#put(message);
    return undefined;
  }

  async #offerInTurn(message: FlowMessage): Promise<void> {
    const { counters } = this.#options;
    await nextTurn();
    if (await this.#awaitRoom(message)) {
      this.#put(message);
      return;
    }
    const reason = this.#isStopped ? ENDED : 'the backlog is full: the collector does not keep up';
    counters.lose(message, reason);
    message.memory?.release();
  }

  #put(message: FlowMessage): void {
    this.#options.backlog.put(message);
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

  /** What was put for a batch counts now. */
  letGo(): void {
    this.#options.backlog.letGo();
    this.wake();
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
    while (!backlog.isEmpty || session.isControlDue || this.#isSendingControl) {
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

  /** What has not arrived by now is lost, or kept for the next run, and the transport is closed. */
  async stop(): Promise<void> {
    const { backlog, counters, transport } = this.#options;
    this.#isStopped = true;
    this.wake();
    await transport.close();
    await this.#running;
    this.noteArrivals();
    for (const message of backlog.clear()) {
      if (backlog.queue === undefined) counters.lose(message, ENDED);
      else counters.keep(message);
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
        await this.#transmitAll(session.takeDue());
        await this.#announce();
        // Without a wait between: what is packed meanwhile refers to what was not announced.
        const run = backlog.peekRun(Math.min(this.#mostAtOnce, session.messagesUntilTemplates));
        if (run.length > 0) await this.#transmit(run);
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
      await this.#transmitAll(messages);
    }
  }

  /** Templates and options, and each of them before anything else. */
  async #transmitAll(messages: readonly ControlMessage[]): Promise<void> {
    this.#isSendingControl = true;
    try {
      for (let left = messages; left.length > 0 && !this.#isStopped;) {
        left = left.slice(await this.#transmit(left));
      }
    } finally {
      this.#isSendingControl = false;
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

  /** Sends the first of these messages, and more of them if it goes; returns how many are done with. */
  async #transmit(messages: readonly OutgoingMessage[]): Promise<number> {
    const { backlog, session, counters } = this.#options;
    const granted = await this.#awaitPace(Math.min(messages.length, this.#mostAtOnce));
    if (this.#isStopped) return 0;
    const run = messages.slice(0, granted);
    const nextSequences = session.writeHeaders(run);
    backlog.queue?.beginRun(run, nextSequences);
    try {
      const gone = await this.#send(run);
      for (const message of run.slice(0, gone)) {
        session.passed(message);
        if (isFlowMessage(message)) backlog.sent();
        else backlog.controlSent(message);
      }
      this.#movedMs = performance.now();
      this.noteArrivals();
      return gone;
    } catch (error) {
      const [first] = run;
      if (first === undefined) return 0;
      session.passed(first);
      if (error instanceof ExportError && isEnd(error)) throw error;
      if (isFlowMessage(first)) backlog.drop();
      else this.#hasLostControl = true;
      counters.fail(first, error);
      return 1;
    } finally {
      backlog.queue?.endRun(session.sequenceNumber);
    }
  }

  async #send(run: readonly OutgoingMessage[]): Promise<number> {
    const { transport } = this.#options;
    const [first] = run;
    if (first === undefined) return 0;
    if (transport.sendMany !== undefined) return transport.sendMany(run.map(({ bytes }) => bytes));
    await transport.send(first.bytes, first.bytes.length);
    return 1;
  }

  /** How many of `most` messages may go now; at least one. */
  async #awaitPace(most: number): Promise<number> {
    const { pacer, transport, isPaceAsked = false } = this.#options;
    if (pacer === undefined) return most;
    if (!isPaceAsked && transport.hasFlowControl?.() === true) return most;
    for (;;) {
      let [granted, waitMs] = [0, 0];
      while (granted < most && (waitMs = pacer.take()) === 0) granted++;
      if (granted > 0 || this.#isStopped) return granted;
      await sleep(waitMs);
    }
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
