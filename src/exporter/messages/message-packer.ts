// Fills messages with data records, each up to the limit. A set ends where the template changes.
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import { BIFLOW_ENTRY } from '../../templates/biflow-entry.js';
import { encodeDataRecord, type EncodingContext } from '../records/data-record.js';
import type { MessageFormat } from './message-format.js';
import type { RecordPlan } from '../records/record-plan.js';

/** A message whose header is still to be written. */
export interface PackedMessage {
  /** Reused: valid until the next message is complete. */
  readonly bytes: Buffer;
  readonly octets: number;
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
  // Two, so that one can be on its way while the other is filled.
  #bytes: Buffer;
  #spare: Buffer;
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
    const octets = maxMessageOctets + format.setHeaderOctets + overhang + format.setAlignmentOctets;
    this.#bytes = Buffer.alloc(octets);
    this.#spare = Buffer.alloc(octets);
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
    const end = encodeDataRecord(plan, record, offset, this.#bytes, start, this.#context);
    if (this.#padded(end) <= this.#limit) {
      this.#at = end;
      this.#count(plan, record, offset);
      return this.#dataRecords === this.#format.maxRecords ? this.#complete() : undefined;
    }
    // Moved before the set's padding is written, which begins where the record does.
    const { headerOctets, setHeaderOctets } = this.#format;
    const octets = this.#bytes.copy(this.#spare, headerOctets + setHeaderOctets, start, end);
    this.#at = before;
    if (isNewSet) this.#setId = NO_SET;
    const message = this.#complete();
    this.#openSet(setId);
    this.#at += octets;
    this.#count(plan, record, offset);
    return message;
  }

  /** The message begun, if there is a record in it. */
  finish(): PackedMessage | undefined {
    return this.#dataRecords === 0 ? undefined : this.#complete();
  }

  #count({ template }: RecordPlan, record: Buffer, offset: number): void {
    this.#dataRecords++;
    this.#packetCount += counter(record, offset + PACKETS.offset);
    this.#octetCount += counter(record, offset + OCTETS.offset);
    if (!template.hasReverse) return;
    const reverse = offset + BIFLOW_ENTRY.reverse;
    this.#packetCount += counter(record, reverse + PACKETS.offset);
    this.#octetCount += counter(record, reverse + OCTETS.offset);
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
    this.#bytes.fill(0, this.#at, end);
    this.#format.writeSetHeader(this.#setId, end - this.#setStart, this.#bytes, this.#setStart);
    this.#at = end;
    this.#setId = NO_SET;
  }

  #complete(): PackedMessage {
    this.#closeSet();
    const message = {
      bytes: this.#bytes,
      octets: this.#at,
      dataRecords: this.#dataRecords,
      packetCount: this.#packetCount,
      octetCount: this.#octetCount,
    };
    this.#bytes = this.#spare;
    this.#spare = message.bytes;
    this.#at = this.#format.headerOctets;
    this.#dataRecords = 0;
    this.#packetCount = 0;
    this.#octetCount = 0;
    return message;
  }
}

function counter(record: Buffer, at: number): number {
  return record.readUInt32LE(at + 4) * WORD + record.readUInt32LE(at);
}
