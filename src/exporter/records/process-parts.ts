// The last part of data records, which depends on their processes alone, kept while a batch is encoded: most
// records are of a process that others were of before.
import { FLOW_RECORD, PROCESS_OWNER } from '../../flow/flow-contract.gen.js';
import { viewOf, type FlowRecord } from '../../flow/flow-record.js';

/** Octets of a part, by the template of its record. */
interface ProcessPart {
  readonly view: DataView;
  start: number;
  octets: number;
  /** Texts in it that were cut. */
  truncatedFields: number;
}

const { source: SOURCE, destination: DESTINATION, direction: DIRECTION } = FLOW_RECORD.fields;
const PID = PROCESS_OWNER.fields.pid.offset;
/** Both owners, which are neighbours; then direction and flags, by which a side is local; then the template. */
const OWNERS_OCTETS = DESTINATION.offset + DESTINATION.size - SOURCE.offset;
const SIDES = OWNERS_OCTETS;
const TEMPLATE = SIDES + 4;
const PART_OCTETS = TEMPLATE + 4;
const TRUNCATED = PART_OCTETS + 4;
const HEADER_OCTETS = TRUNCATED + 4;
const ARENA_OCTETS = 64 * 1024;
const SLOTS = 512;
const FREE = -1;
const LITTLE = true;

export class ProcessParts {
  readonly #bytes = Buffer.alloc(ARENA_OCTETS);
  readonly #view = viewOf(this.#bytes);
  /** Where the part stands whose owners have this hash, the last one's of several. */
  readonly #slots = new Int32Array(SLOTS).fill(FREE);
  #end = 0;
  readonly #found: ProcessPart = { view: this.#view, start: 0, octets: 0, truncatedFields: 0 };
  /** What was looked for last. */
  #slot = 0;
  #record: FlowRecord | undefined;
  #templateId = 0;

  /** What is known of a process may have changed. */
  forget(): void {
    if (this.#end === 0) return;
    this.#slots.fill(FREE);
    this.#end = 0;
  }

  /** Valid until the next call. */
  find(record: FlowRecord, templateId: number): ProcessPart | undefined {
    const { view, offset } = record;
    const source = view.getUint32(offset + SOURCE.offset + PID, LITTLE);
    const destination = view.getUint32(offset + DESTINATION.offset + PID, LITTLE);
    const hash = Math.imul(source ^ Math.imul(destination, 0x85ebca6b) ^ templateId, 0x9e3779b1);
    this.#slot = hash >>> 23;
    this.#record = record;
    this.#templateId = templateId;
    const at = this.#slots[this.#slot] ?? FREE;
    if (at === FREE || !this.#isOf(record, templateId, at)) return undefined;
    const found = this.#found;
    found.start = at + HEADER_OCTETS;
    found.octets = this.#view.getUint32(at + PART_OCTETS);
    found.truncatedFields = this.#view.getUint32(at + TRUNCATED);
    return found;
  }

  /** What was looked for in vain, and then written. */
  keep(bytes: Buffer, start: number, end: number, truncatedFields: number): void {
    const record = this.#record;
    const octets = HEADER_OCTETS + end - start;
    if (record === undefined || octets > ARENA_OCTETS) return;
    if (this.#end + octets > ARENA_OCTETS) this.forget();
    const at = this.#end;
    const owners = record.offset + SOURCE.offset;
    record.bytes.copy(this.#bytes, at, owners, owners + OWNERS_OCTETS);
    this.#view.setUint32(at + SIDES, sidesOf(record));
    this.#view.setUint32(at + TEMPLATE, this.#templateId);
    this.#view.setUint32(at + PART_OCTETS, end - start);
    this.#view.setUint32(at + TRUNCATED, truncatedFields);
    bytes.copy(this.#bytes, at + HEADER_OCTETS, start, end);
    this.#slots[this.#slot] = at;
    this.#end = at + octets;
  }

  #isOf(record: FlowRecord, templateId: number, at: number): boolean {
    const known = this.#view;
    const { view, offset } = record;
    const owners = offset + SOURCE.offset;
    for (let k = 0; k < OWNERS_OCTETS; k += 4) {
      if (view.getUint32(owners + k) !== known.getUint32(at + k)) return false;
    }
    return (
      known.getUint32(at + SIDES) === sidesOf(record) &&
      known.getUint32(at + TEMPLATE) === templateId
    );
  }
}

function sidesOf(record: FlowRecord): number {
  return (record.view.getUint8(record.offset + DIRECTION.offset) << 8) | record.flags;
}
