// What became of the messages of one collector.
import { isFlowMessage, type OutgoingMessage } from './messages/outgoing-message.js';

/** Flow records, and what they sum up to. */
export interface RecordSums {
  readonly records: number;
  readonly packets: number;
  readonly octets: number;
}

/** All only grow. */
export interface ExportStatistics {
  /** Messages that arrived, as far as the transport can tell: over UDP, those that were sent. */
  readonly messages: number;
  readonly octets: number;
  /** Flow records in those messages. */
  readonly records: number;
  /** Template records and options template records. */
  readonly templates: number;
  readonly optionsRecords: number;
  /** Messages that the network did not take. */
  readonly sendErrors: number;
  /** Flow records in messages that did not arrive, and what they sum up to. */
  readonly lostRecords: number;
  readonly lostPackets: number;
  readonly lostOctets: number;
  /** Flow records of the last run that were taken over, and of this one that wait for the next. */
  readonly takenOverRecords: number;
  readonly keptRecords: number;
  readonly keptMessages: number;
  /** When a loss was first and last noticed, milliseconds since 1970. */
  readonly firstLossMs: number | undefined;
  readonly lastLossMs: number | undefined;
  /** How often the collector was found not to listen. Each time one message was lost over UDP, which
   *  `messages` and `records` may include: the network reports it after the fact. */
  readonly refusals: number;
  /** Transport Sessions after the first one: the collector came back, or another file was begun. */
  readonly newSessions: number;
  /** Flow records that the format, or the chosen elements, have no record for: IPv6 in v1 and v5. */
  readonly notExportable: number;
  /** Records that hold two flow records, a connection's both directions, whatever became of them. */
  readonly biflows: number;
  /** Flow records that did not wait for their reverse, because too many others did. */
  readonly crowdedOutRecords: number;
  /** Names and command lines cut to the length of their field. */
  readonly truncatedFields: number;
  /** Times too early for sysUptime, sent as 0. */
  readonly clampedTimes: number;
  /** The last loss in words; undefined without one. */
  readonly lastError: string | undefined;
}

export class ExportCounters {
  messages = 0;
  octets = 0;
  records = 0;
  templates = 0;
  optionsRecords = 0;
  sendErrors = 0;
  lostRecords = 0;
  lostPackets = 0;
  lostOctets = 0;
  takenOverRecords = 0;
  keptRecords = 0;
  keptMessages = 0;
  firstLossMs: number | undefined;
  lastLossMs: number | undefined;
  newSessions = 0;
  lastError: string | undefined;

  arrive(message: OutgoingMessage): void {
    this.messages++;
    this.octets += message.bytes.length;
    this.templates += message.templateRecords;
    if (isFlowMessage(message)) this.records += message.dataRecords;
    else this.optionsRecords += message.dataRecords;
  }

  takeOver(message: OutgoingMessage): void {
    this.takenOverRecords += message.dataRecords;
  }

  keep(message: OutgoingMessage): void {
    this.keptMessages++;
    this.keptRecords += message.dataRecords;
  }

  /** @param error what the transport threw */
  fail(message: OutgoingMessage, error: unknown): void {
    this.sendErrors++;
    this.lose(message, error instanceof Error ? error.message : String(error));
  }

  lose(message: OutgoingMessage, reason: string): void {
    this.lastError = reason;
    if (!isFlowMessage(message)) return;
    const { dataRecords: records, packets, octets } = message;
    this.loseRecords({ records, packets, octets }, reason);
  }

  /** Outside of messages. */
  loseRecords({ records, packets, octets }: RecordSums, reason: string): void {
    if (records === 0) return;
    this.lastError = reason;
    this.lostRecords += records;
    this.lostPackets += packets;
    this.lostOctets += octets;
    this.lastLossMs = Date.now();
    this.firstLossMs ??= this.lastLossMs;
  }
}
