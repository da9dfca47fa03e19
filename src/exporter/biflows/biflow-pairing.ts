// In front of the encoder, for collectors that want biflows (RFC 5103): finds the two directions of a
// connection among the flow records and hands them on side by side. A record waits for its reverse, but
// not for long, and not too many do; then it goes on alone.
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import type { FlowRecordBatch } from '../../flow/flow-source.js';
import { BIFLOW_ENTRY } from '../../templates/biflow-entry.js';
import type { RecordSums } from '../export-counters.js';
import { BiflowOwners } from './biflow-owners.js';
import { ConnectionInitiators, other } from './connection-initiators.js';
import { ConnectionKey, destinationPort, isIcmp, sourcePort, type Side } from './connection-key.js';
import { WaitingRecords } from './waiting-records.js';

export interface BiflowOptions {
  /** How long a record waits for its reverse. */
  readonly windowMs: number;
  /** How many may wait, and how many connections are remembered that live on. */
  readonly maxRecords: number;
  readonly nowMs: () => number;
}

/** Entries (layout BIFLOW_ENTRY) one after the other. */
export interface BiflowEntries {
  /** Valid until the next ones are asked for. */
  readonly bytes: Buffer;
  readonly count: number;
}

/** biflowDirection (239) as IANA numbers it. */
const DIRECTION = { arbitrary: 0, initiator: 1, reverseInitiator: 2 } as const;
const F = FLOW_RECORD.fields;
/** Entries that are handed on at a time when records have waited long enough. */
const ENTRIES_AT_A_TIME = 512;

export class BiflowPairing {
  readonly #options: BiflowOptions;
  readonly #connection = new ConnectionKey();
  readonly #waiting = new WaitingRecords();
  readonly #initiators: ConnectionInitiators;
  readonly #owners = new BiflowOwners();
  readonly #forward = Buffer.alloc(FLOW_RECORD.size);
  #bytes = Buffer.alloc(ENTRIES_AT_A_TIME * BIFLOW_ENTRY.size);
  #at = 0;
  /** Entries with a reverse record. */
  biflows = 0;
  /** Records that went on alone before their time, for want of room. */
  crowdedOutRecords = 0;

  constructor(options: BiflowOptions) {
    this.#options = options;
    this.#initiators = new ConnectionInitiators(options.maxRecords);
  }

  /** Of the records that wait. */
  sums(): RecordSums {
    const { count: records, packets, octets } = this.#waiting;
    return { records, packets, octets };
  }

  /** Takes all records of the batch; returns what is complete by them. */
  add(batch: FlowRecordBatch): BiflowEntries {
    // Each record completes one entry at the most: its own, or that of the one whose place it takes.
    this.#begin(batch.count);
    const nowMs = this.#options.nowMs();
    for (let i = 0; i < batch.count; i++) this.#add(batch.bytes, i * FLOW_RECORD.size, nowMs);
    return this.#entries();
  }

  /** Some of those that have waited long enough, or of all that wait; none when none is left. */
  take(scope: 'due' | 'all'): BiflowEntries {
    this.#begin(ENTRIES_AT_A_TIME);
    const dueMs = scope === 'all' ? Infinity : this.#options.nowMs() - this.#options.windowMs;
    for (let i = 0; i < ENTRIES_AT_A_TIME; i++) {
      if ((this.#waiting.oldestMs ?? Infinity) > dueMs || !this.#takeOldest()) break;
    }
    return this.#entries();
  }

  #add(record: Buffer, offset: number, nowMs: number): void {
    const connection = this.#connection;
    if (!connection.at(record, offset)) {
      record.copy(this.#bytes, this.#at, offset, offset + FLOW_RECORD.size);
      const isUnasked = !isIcmp(record[offset + F.protocol.offset] ?? 0);
      this.#complete(isUnasked ? DIRECTION.initiator : DIRECTION.arbitrary, false);
      return;
    }
    const { key, side } = connection;
    const waitingSide = this.#waiting.sideOf(key);
    if (waitingSide === other(side)) {
      record.copy(this.#bytes, this.#at + BIFLOW_ENTRY.reverse, offset, offset + FLOW_RECORD.size);
      this.#waiting.take(key, this.#bytes, this.#at);
      this.#pair(key, waitingSide);
      return;
    }
    if (waitingSide === side) {
      // Of the next interval: the reverse of the one before can be no longer expected.
      this.#waiting.take(key, this.#bytes, this.#at);
      this.#goAlone(key, side);
    } else if (this.#waiting.count >= this.#options.maxRecords) {
      this.crowdedOutRecords++;
      this.#takeOldest();
    }
    this.#waiting.put(key, side, record, offset, nowMs);
  }

  #takeOldest(): boolean {
    const oldest = this.#waiting.takeOldest(this.#bytes, this.#at);
    if (oldest !== undefined) this.#goAlone(oldest.key, oldest.side);
    return oldest !== undefined;
  }

  /** @param side of the record that stands first in the entry */
  #pair(key: string, side: Side): void {
    const [bytes, at] = [this.#bytes, this.#at];
    const initiator = this.#initiators.find(key, side, bytes, at, true);
    const isSwapped =
      initiator === undefined ? !isForwardByChoice(side, bytes, at) : initiator !== side;
    if (isSwapped) {
      bytes.copy(this.#forward, 0, at + BIFLOW_ENTRY.reverse, at + 2 * FLOW_RECORD.size);
      bytes.copy(bytes, at + BIFLOW_ENTRY.reverse, at, at + FLOW_RECORD.size);
      this.#forward.copy(bytes, at);
    }
    this.#owners.complete(bytes, at);
    this.biflows++;
    this.#complete(initiator === undefined ? DIRECTION.arbitrary : DIRECTION.initiator, true);
  }

  #goAlone(key: string, side: Side): void {
    const initiator = this.#initiators.find(key, side, this.#bytes, this.#at, false);
    if (initiator === undefined) this.#complete(DIRECTION.arbitrary, false);
    else {
      const { initiator: itself, reverseInitiator } = DIRECTION;
      this.#complete(initiator === side ? itself : reverseInitiator, false);
    }
  }

  #complete(direction: number, hasReverse: boolean): void {
    this.#bytes[this.#at + BIFLOW_ENTRY.direction] = direction;
    this.#bytes[this.#at + BIFLOW_ENTRY.hasReverse] = hasReverse ? 1 : 0;
    this.#at += BIFLOW_ENTRY.size;
  }

  #begin(entries: number): void {
    this.#at = 0;
    const octets = entries * BIFLOW_ENTRY.size;
    if (octets > this.#bytes.length) this.#bytes = Buffer.alloc(octets);
  }

  #entries(): BiflowEntries {
    return { bytes: this.#bytes, count: this.#at / BIFLOW_ENTRY.size };
  }
}

/**
 * Where nothing tells who began, the forward direction is that to the lower port, which is more often
 * the server's; it stays the same for all records of a connection.
 */
function isForwardByChoice(side: Side, record: Buffer, at: number): boolean {
  const difference = sourcePort(record, at) - destinationPort(record, at);
  return difference === 0 ? side === 0 : difference > 0;
}
