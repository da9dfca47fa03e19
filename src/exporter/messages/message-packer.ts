// Fills messages with data records, each up to the limit. A set ends where the template changes.
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import { BIFLOW_ENTRY } from '../../templates/biflow-entry.js';
import { encodeDataRecord, type EncodingContext } from '../records/data-record.js';
import type { MessageFormat } from './message-format.js';
import type { RecordPlan } from '../records/record-plan.js';
import { MessageSlabs, type MessageMemory, type MessageSlab } from './message-slabs.js';

/** A message whose header is still to be written. */
export interface PackedMessage {
  readonly bytes: Buffer;
  readonly octets: number;
  /** Of the bytes: to be released once. */
  readonly memory: MessageMemory;
  readonly dataRecords: number;
  /** What the flow records in it sum up to. */
  readonly packetCount: number;
  readonly octetCount: number;
}

const NO_SET = -1;
const { packets: PACKETS, octets: OCTETS } = FLOW_RECORD.fields;
const WORD = 2 ** 32;

export class MessagePacker {
  readonly #format: MessageFormat;
  readonly #limit: number;
  readonly #context: EncodingContext;
  readonly #slabs: MessageSlabs;
  /** What a message can take, with the record that turns out not to fit. */
  readonly #roomOctets: number;
  #slab: MessageSlab;
  /** Where the message begins in the slab. */
  #start = 0;
  #at: number;
  #dataRecords = 0;
  #packetCount = 0;
  #octetCount = 0;
  #setId = NO_SET;
  #setStart = 0;

  /** A message holds `maxMessageOctets` at most, provided that any record fits into one alone. */
  constructor(
    format: MessageFormat,
    plans: readonly RecordPlan[],
    maxMessageOctets: number,
    context: EncodingContext,
  ) {
    this.#format = format;
    this.#limit = maxMessageOctets;
    this.#context = context;
    // A record is encoded first and moved to the next message if it turns out not to fit.
    const overhang = Math.max(...plans.map((plan) => plan.maxRecordOctets));
    this.#roomOctets =
      maxMessageOctets + format.setHeaderOctets + overhang + format.setAlignmentOctets;
    this.#slabs = new MessageSlabs(this.#roomOctets);
    this.#slab = this.#slabs.take();
    this.#at = format.headerOctets;
  }

  /** Takes a flow record, or an entry with two for a plan that has both; returns a message that is complete: without it, if it did not fit. */
  append(plan: RecordPlan, record: Buffer, offset: number): PackedMessage | undefined {
    const setId = plan.template.id;
    const isNewSet = this.#setId !== setId;
    if (isNewSet) this.#closeSet();
    const before = this.#at;
    if (isNewSet) this.#openSet(setId);
    const start = this.#at;
    const end = encodeDataRecord(plan, record, offset, this.#slab, start, this.#context);
    if (this.#padded(end) - this.#start <= this.#limit) {
      this.#at = end;
      this.#count(plan);
      return this.#dataRecords === this.#format.maxRecords ? this.#complete() : undefined;
    }
    this.#at = before;
    if (isNewSet) this.#setId = NO_SET;
    const message = this.#complete({ start, end });
    this.#openSet(setId);
    this.#at += end - start;
    this.#count(plan);
    return message;
  }

  /** The message begun, if there is a record in it. */
  finish(): PackedMessage | undefined {
    return this.#dataRecords === 0 ? undefined : this.#complete();
  }

  /** The record that was encoded last. */
  #count({ template }: RecordPlan): void {
    const { view, offset } = this.#context.processes.record;
    this.#dataRecords++;
    this.#packetCount += counter(view, offset + PACKETS.offset);
    this.#octetCount += counter(view, offset + OCTETS.offset);
    if (!template.hasReverse) return;
    const reverse = offset + BIFLOW_ENTRY.reverse;
    this.#packetCount += counter(view, reverse + PACKETS.offset);
    this.#octetCount += counter(view, reverse + OCTETS.offset);
  }

  #padded(end: number): number {
    const { setAlignmentOctets } = this.#format;
    const octets = end - this.#setStart;
    return this.#setStart + Math.ceil(octets / setAlignmentOctets) * setAlignmentOctets;
  }

  #openSet(setId: number): void {
    this.#setId = setId;
    this.#setStart = this.#at;
    this.#at += this.#format.setHeaderOctets;
  }

  #closeSet(): void {
    if (this.#setId === NO_SET) return;
    const end = this.#padded(this.#at);
    const { bytes } = this.#slab;
    if (end > this.#at) bytes.fill(0, this.#at, end);
    this.#format.writeSetHeader(this.#setId, end - this.#setStart, bytes, this.#setStart);
    this.#at = end;
    this.#setId = NO_SET;
  }

  /** @param overhang the record that did not fit, as encoded: it goes to the start of the next message */
  #complete(overhang = { start: 0, end: 0 }): PackedMessage {
    const { bytes } = this.#slab;
    const { headerOctets, setHeaderOctets } = this.#format;
    const next = this.#setId === NO_SET ? this.#at : this.#padded(this.#at);
    const isFull = next + this.#roomOctets > bytes.length;
    const slab = isFull ? this.#slabs.take() : this.#slab;
    const start = isFull ? 0 : next;
    // Moved before the set's padding is written, which begins where the record does.
    const to = start + headerOctets + setHeaderOctets;
    if (overhang.end > 0) bytes.copy(slab.bytes, to, overhang.start, overhang.end);
    this.#closeSet();
    const message = {
      bytes: bytes.subarray(this.#start, this.#at),
      octets: this.#at - this.#start,
      memory: this.#slab.hold(),
      dataRecords: this.#dataRecords,
      packetCount: this.#packetCount,
      octetCount: this.#octetCount,
    };
    if (isFull) this.#slab.release();
    this.#slab = slab;
    this.#start = start;
    this.#at = start + headerOctets;
    this.#dataRecords = 0;
    this.#packetCount = 0;
    this.#octetCount = 0;
    return message;
  }
}

function counter(record: DataView, at: number): number {
  return record.getUint32(at + 4, true) * WORD + record.getUint32(at, true);
}
