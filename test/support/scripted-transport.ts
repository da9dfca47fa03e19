// A transport that does as it is told: sessions begin and end, messages are held or refused, and
// arrive when the test says so. And a delivery of numbered messages over it.
import { EventEmitter, once } from 'node:events';
import { Delivery } from '../../src/exporter/delivery/delivery.js';
import { ExportBacklog } from '../../src/exporter/delivery/export-backlog.js';
import { ExportCounters } from '../../src/exporter/export-counters.js';
import { ExportError } from '../../src/exporter/export-error.js';
import { IPFIX } from '../../src/exporter/messages/ipfix.js';
import type { MessageTransport } from '../../src/exporter/delivery/message-transport.js';
import type { ControlMessage, FlowMessage } from '../../src/exporter/messages/outgoing-message.js';
import {
  TransportSession,
  type SessionOptions,
} from '../../src/exporter/delivery/transport-session.js';
import { UptimeClock } from '../../src/exporter/delivery/uptime-clock.js';
import { NO_SAMPLING } from '../../src/flow/sampling.js';
import type { Teardown } from './program.js';
import { FakeClock } from './recorded-export.js';

const HEADER_OCTETS = 16;
export const MESSAGE_OCTETS = 24;

export class ScriptedTransport implements MessageTransport {
  readonly destination = 'a script';
  readonly isReliable: boolean;
  /** What each session was sent, by its number less one. */
  readonly sessions: Buffer[][] = [];
  /** So many messages may go; send() waits for more. */
  permits = Infinity;
  /** Thrown by the next sends, in turn. */
  readonly failures: Error[] = [];
  refused = 0;
  isClosed = false;
  /** Whether a message was ever handed over. */
  isAsked = false;
  /** Of the messages sent; undefined: all of them arrive at once. */
  arrivals: number | undefined;
  readonly #events = new EventEmitter().setMaxListeners(0);
  #isConnected = false;
  /** What ready() said last: a session that has ended is told of until then. */
  #reported = 0;

  constructor(isReliable = true) {
    this.isReliable = isReliable;
  }

  get messages(): readonly Buffer[] {
    return this.sessions.flat();
  }

  /** Begins another session. */
  connect(): void {
    this.sessions.push([]);
    this.#isConnected = true;
    this.#events.emit('change');
  }

  /** Ends the session; the first `arrivals` of its messages have arrived. */
  disconnect(arrivals?: number): void {
    this.arrivals = arrivals;
    this.#isConnected = false;
    this.#events.emit('change');
  }

  /** Lets so many messages go. */
  permit(messages: number): void {
    this.permits += messages;
    this.#events.emit('change');
  }

  /** Resolves when it is so; asked whenever something happens. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await once(this.#events, 'change');
  }

  async open(): Promise<void> {
    this.connect();
  }

  async ready(): Promise<number> {
    await this.until(() => this.#isConnected || this.isClosed);
    if (this.isClosed) throw new ExportError('not-open', 'send', 'it is closed');
    const isNext = this.#reported !== 0 && this.#reported !== this.sessions.length;
    if (isNext) this.arrivals = undefined;
    this.#reported = this.sessions.length;
    return this.#reported;
  }

  async send(bytes: Buffer, octets: number): Promise<void> {
    const number = this.#reported;
    this.isAsked = true;
    this.#events.emit('change');
    await this.until(() => this.permits > 0 || !this.#isConnected || this.isClosed);
    if (this.isClosed) throw new ExportError('not-open', 'send', 'it is closed');
    this.permits--;
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    const sent = this.sessions[number - 1] ?? [];
    if (number !== this.sessions.length || !this.#isConnected) {
      throw new ExportError('session-lost', 'send', 'it has ended');
    }
    sent.push(Buffer.from(bytes.subarray(0, octets)));
    this.#events.emit('change');
  }

  confirmed(): number {
    const sent = this.sessions[this.#reported - 1]?.length ?? 0;
    return Math.min(sent, this.arrivals ?? sent);
  }

  refusals(): number {
    return this.refused;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.#events.emit('change');
  }
}

/** One flow record of `number` packets. */
export function numberedFlows(number: number, octets = MESSAGE_OCTETS): FlowMessage {
  const times = { bootEpoch: { seconds: 0, nanoseconds: 0 }, uptimeZeroMs: 0, packedMs: 0 };
  return {
    ...labelled(`F${number}`, octets),
    templateRecords: 0,
    dataRecords: 1,
    packets: number,
    octets: 100,
    times,
  };
}

export function controlMessage(label: string): ControlMessage {
  const isTemplates = label.startsWith('T');
  return {
    ...labelled(label, MESSAGE_OCTETS),
    templateRecords: isTemplates ? 2 : 0,
    dataRecords: isTemplates ? 0 : 1,
  };
}

/** "F3#2": what it is, and its sequence number. */
export function told(message: Buffer): string {
  const label = message.toString('latin1', HEADER_OCTETS).replaceAll('\0', '');
  return `${label}#${message.readUInt32BE(8)}`;
}

function labelled(label: string, octets: number): { readonly bytes: Buffer } {
  const bytes = Buffer.alloc(octets);
  bytes.write(label, HEADER_OCTETS, 'latin1');
  return { bytes };
}

export interface ScriptedDelivery {
  readonly delivery: Delivery;
  readonly backlog: ExportBacklog;
  readonly counters: ExportCounters;
  readonly clock: FakeClock;
  /** Each session's messages, as told(). */
  readonly told: () => readonly (readonly string[])[];
}

/** IPFIX whose templates are "T" and whose options, where there are some, are "O". */
export function startDelivery(
  t: Teardown,
  transport: ScriptedTransport,
  options: Partial<SessionOptions> & { readonly limitOctets?: number } = {},
): ScriptedDelivery {
  const { limitOctets = 2 ** 20, ...changes } = options;
  const clock = new FakeClock();
  const backlog = new ExportBacklog(limitOctets);
  const counters = new ExportCounters();
  const control = { templates: () => [controlMessage('T')], options: () => [] };
  const session = new TransportSession({
    format: IPFIX,
    observationDomainId: 7,
    templateRefreshMs: 60_000,
    templateRefreshMessages: Infinity,
    optionsPeriodMs: 600_000,
    sampling: NO_SAMPLING,
    control,
    clock,
    uptime: new UptimeClock(clock),
    ...changes,
  });
  const delivery = new Delivery({ backlog, transport, session, counters, pacer: undefined });
  t.teardown(() => delivery.stop());
  delivery.start();
  return {
    delivery,
    backlog,
    counters,
    clock,
    told: () => transport.sessions.map((messages) => messages.map(told)),
  };
}
