// What a collector has to be told in a Transport Session besides flows: templates and options, when
// they are due, and in which order messages came: the headers.
import { bootEpochMs, nsToMs, type KernelClock } from '../../flow/clock.js';
import type { Sampling } from '../../flow/sampling.js';
import type { MessageFormat } from '../messages/message-format.js';
import {
  isFlowMessage,
  type ControlMessage,
  type MessageTimes,
  type OutgoingMessage,
} from '../messages/outgoing-message.js';
import type { UptimeClock } from './uptime-clock.js';

/** What is sent besides flow records. */
export interface ControlMessages {
  readonly templates: () => readonly ControlMessage[];
  /** Options records with the values of now. */
  readonly options: () => readonly ControlMessage[];
  /** What the flow records that are packed by now refer to, and was not sent yet. */
  readonly announcements?: () => readonly ControlMessage[];
}

export interface SessionOptions {
  readonly format: MessageFormat;
  readonly observationDomainId: number;
  /** Templates are repeated this often; Infinity: once a session. */
  readonly templateRefreshMs: number;
  /** And after so many messages with flows. */
  readonly templateRefreshMessages: number;
  readonly optionsPeriodMs: number;
  readonly sampling: Sampling;
  readonly control: ControlMessages;
  readonly clock: KernelClock;
  readonly uptime: UptimeClock;
  /** Of the first message, where numbers go on from the last run; default 0. */
  readonly sequenceNumber?: number;
}

const WORD = 2 ** 32;

export class TransportSession {
  readonly #options: SessionOptions;
  #sequenceNumber: number;
  #templatesSentMs = -Infinity;
  #messagesSinceTemplates = 0;
  #optionsSentMs = -Infinity;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#sequenceNumber = options.sequenceNumber ?? 0;
  }

  /** Of the next message. */
  get sequenceNumber(): number {
    return this.#sequenceNumber;
  }

  /**
   * The collector, or the file, begins without templates.
   * @param isNew nothing of the last session counts in this one. Over UDP another socket changes nothing:
   * a collector is to see what was lost between the two.
   */
  begin(isNew: boolean): void {
    if (isNew && this.#options.format.isSequenceOfSession) this.#sequenceNumber = 0;
    this.expireTemplates();
  }

  /** The collector may have missed them. */
  expireTemplates(): void {
    this.#templatesSentMs = -Infinity;
    this.#optionsSentMs = -Infinity;
  }

  /** There is something new to tell. */
  expireOptions(): void {
    this.#optionsSentMs = -Infinity;
  }

  get isControlDue(): boolean {
    return this.#areTemplatesDue() || this.#areOptionsDue();
  }

  /** What is to be sent before anything else; it is taken for sent. */
  takeDue(): readonly ControlMessage[] {
    const { control } = this.#options;
    const due: ControlMessage[] = [];
    if (this.#areTemplatesDue()) {
      this.#templatesSentMs = this.#nowMs();
      this.#messagesSinceTemplates = 0;
      due.push(...control.templates());
    }
    if (this.#areOptionsDue()) {
      this.#optionsSentMs = this.#nowMs();
      due.push(...control.options());
    }
    return due;
  }

  /** What has to be sent before the next flow records; it is taken for sent. */
  takeAnnouncements(): readonly ControlMessage[] {
    return this.#options.control.announcements?.() ?? [];
  }

  /** How many messages with flows may go until templates are due. */
  get messagesUntilTemplates(): number {
    return this.#options.templateRefreshMessages - this.#messagesSinceTemplates;
  }

  /**
   * Writes the headers of messages that are to be sent now, one after the other; returns the sequence number
   * after each of them.
   */
  writeHeaders(messages: readonly OutgoingMessage[]): readonly number[] {
    const { format, observationDomainId, sampling, clock, uptime } = this.#options;
    const nowMs = nsToMs(clock.bootNs());
    let sequenceNumber = this.#sequenceNumber;
    return messages.map((message) => {
      const times = isFlowMessage(message) ? message.times : uptime.times();
      const { bytes, templateRecords, dataRecords } = message;
      const header = {
        messageOctets: bytes.length,
        records: templateRecords + dataRecords,
        exportTimeMs: exportTimeMs(times, nowMs),
        uptimeZeroMs: times.uptimeZeroMs,
        ...{ sequenceNumber, observationDomainId, sampling },
      };
      format.writeMessageHeader(header, bytes);
      sequenceNumber = (sequenceNumber + format.sequenceStep(dataRecords)) % WORD;
      return sequenceNumber;
    });
  }

  /** The first one of those has gone, or is lost: that leaves a gap. */
  passed(message: OutgoingMessage): void {
    const { format } = this.#options;
    this.#sequenceNumber = (this.#sequenceNumber + format.sequenceStep(message.dataRecords)) % WORD;
    // Only these: templates that are several messages would be due again by themselves.
    if (isFlowMessage(message)) this.#messagesSinceTemplates++;
  }

  #areTemplatesDue(): boolean {
    const { templateRefreshMs, templateRefreshMessages } = this.#options;
    if (this.#templatesSentMs === -Infinity) return true;
    return (
      this.#nowMs() - this.#templatesSentMs >= templateRefreshMs ||
      this.#messagesSinceTemplates >= templateRefreshMessages
    );
  }

  #areOptionsDue(): boolean {
    return this.#nowMs() - this.#optionsSentMs >= this.#options.optionsPeriodMs;
  }

  #nowMs(): number {
    return nsToMs(this.#options.clock.bootNs());
  }
}

/**
 * Now, unless the clock has leapt since the message was packed, as that of a capture file can: sysUptime
 * has to fit to the times of the flows.
 */
function exportTimeMs(
  { bootEpoch, uptimeZeroMs, packedMs }: MessageTimes,
  nowBootMs: number,
): number {
  const nowMs = bootEpochMs(bootEpoch) + nowBootMs;
  return nowMs < packedMs || nowMs - uptimeZeroMs >= WORD ? packedMs : nowMs;
}
