// What a killed process leaves of its export: the batch of flow records that it had taken from the kernel, and
// the messages that it had made of those before. One store says that a batch is in all queues.
import { createHash, randomInt } from 'node:crypto';
import type { BatchMemory } from '../../flow/batch-memory.js';
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import type { RecordSums } from '../export-counters.js';
import { ExportError } from '../export-error.js';
import type { FlowMessage } from '../messages/outgoing-message.js';
import type { DurableMemory } from './durable-memory.js';
import {
  LEAST_QUEUE_OCTETS,
  MessageQueue,
  fingerprintOf,
  isUnusedQueue,
  type BatchCommit,
} from './message-queue.js';

export interface JournalQueue {
  /** Says whose messages they are, to this run and the next. */
  readonly name: string;
  readonly octets: number;
}

const MAGIC = 0x316a6670; // "pfj1" in the order of the octets
const MAGIC_AT = 0;
const LAYOUT_AT = 4;
const ID_AT = 8;
const COMMITTED_AT = 16;
/** The batch that stands in the memory, or is being read into it. */
const READING_AT = 24;
const DIRECTORY = 512;
const DIRECTORY_ROW = 64;
const NAME_OCTETS = 32;
const PAGE = 4096;
const BATCH = PAGE;
/** As much as is read at a time: eight parts of 32 KiB. */
const BATCH_OCTETS = 8 * 32 * 1024;
const QUEUES = BATCH + BATCH_OCTETS;
const MOST_QUEUES = (PAGE - DIRECTORY) / DIRECTORY_ROW;
/** A batch must fit into a queue, whatever is told of processes: 4096 octets a record. */
const LEAST_OCTETS = Math.max(4 * 2 ** 20, LEAST_QUEUE_OCTETS);
/** Never 0 in a record: it tells how many of them were read. */
const MARK = FLOW_RECORD.fields.ip_version.offset;

export function journalOctets(queues: readonly JournalQueue[]): number {
  return queues.reduce((octets, queue) => octets + queueOctets(queue), QUEUES);
}

function queueOctets({ octets }: JournalQueue): number {
  return Math.ceil(Math.max(octets, LEAST_OCTETS) / PAGE) * PAGE;
}

/** A part of the memory; the names are told apart by their hashes. */
interface Region {
  readonly hash: string;
  readonly start: number;
  readonly octets: number;
}

export class Journal implements BatchMemory, BatchCommit {
  readonly bytes: Buffer;
  readonly #memory: DurableMemory;
  readonly #regions: readonly Region[];
  readonly #listeners: (() => void)[] = [];
  #leftOctets: number;
  /** Whether a batch is with the sinks. */
  #isHanded = false;

  private constructor(memory: DurableMemory) {
    this.#memory = memory;
    this.#regions = readDirectory(memory);
    this.bytes = memory.bytes.subarray(BATCH, QUEUES);
    this.#leftOctets = this.#countLeft();
  }

  /** What another run has left there, if it is one. */
  static find(memory: DurableMemory): Journal | undefined {
    if (memory.bytes.length < QUEUES || memory.word(MAGIC_AT) !== MAGIC) return undefined;
    const regions = readDirectory(memory);
    const isWhole = regions.every(({ start, octets }) => start + octets <= memory.bytes.length);
    return isWhole ? new Journal(memory) : undefined;
  }

  /**
   * An empty one.
   * @param memory journalOctets() long
   * @throws ExportError
   */
  static create(memory: DurableMemory, queues: readonly JournalQueue[]): Journal {
    if (queues.length > MOST_QUEUES) {
      const operation = `keep messages for ${queues.length} collectors`;
      throw new ExportError('bad-option', operation, `there is room for ${MOST_QUEUES}`);
    }
    memory.setWord(MAGIC_AT, 0);
    memory.fill(0, 0, memory.bytes.length);
    memory.copyFrom(directoryOf(queues), DIRECTORY);
    memory.setWord(LAYOUT_AT, FLOW_RECORD.size);
    memory.setNumber(ID_AT, randomInt(1, 2 ** 47));
    memory.setWord(MAGIC_AT, MAGIC);
    return new Journal(memory);
  }

  /** Whether it is for these queues, and for flow records as they are now. */
  isFor(queues: readonly JournalQueue[]): boolean {
    const isSameLayout = this.#memory.word(LAYOUT_AT) === FLOW_RECORD.size;
    return isSameLayout && directoryBytes(this.#memory).equals(directoryOf(queues));
  }

  /**
   * All of another journal that there is a place for. It stays, and has to until this is done.
   * @returns what there is no place for
   */
  takeOver(from: Journal): RecordSums {
    const memory = this.#memory;
    // Queues elsewhere go by its number, and by what counts.
    memory.setNumber(ID_AT, from.id);
    memory.setNumber(COMMITTED_AT, from.committed);
    memory.copyFrom(from.bytes.subarray(0, from.leftOctets), BATCH);
    memory.setNumber(READING_AT, from.leftOctets > 0 ? from.committed + 1 : 0);
    this.#leftOctets = this.#countLeft();
    const lost = { records: 0, packets: 0, octets: 0 };
    for (const { hash } of from.#regions) {
      const region = from.#part(hash);
      const place = this.#part(hash);
      if (region === undefined || isUnusedQueue(region)) continue;
      const queue = new MessageQueue(region, fingerprintOf(region), from);
      const next = place && new MessageQueue(place, fingerprintOf(region), this);
      next?.endRun(queue.sequence);
      for (const message of queue.left) {
        if (next?.hasRoom(message.bytes.length) === true) next.put(withoutMemory(message));
        else add(lost, message);
      }
    }
    return lost;
  }

  get id(): number {
    return this.#memory.number(ID_AT);
  }

  get leftOctets(): number {
    return this.#leftOctets;
  }

  get committed(): number {
    return this.#memory.number(COMMITTED_AT);
  }

  get batch(): number {
    return this.committed + (this.#isHanded ? 1 : 0);
  }

  begin(): void {
    this.#leftOctets = 0;
    // Its records do not count any more, nor yet.
    for (let at = MARK; at < BATCH_OCTETS; at += FLOW_RECORD.size) this.bytes[at] = 0;
    this.#memory.setNumber(READING_AT, this.committed + 1);
  }

  hand(octets: number): Buffer {
    this.#isHanded = true;
    return this.bytes.subarray(0, octets);
  }

  commit(): void {
    this.#memory.setNumber(COMMITTED_AT, this.committed + 1);
    this.#leftOctets = 0;
    this.#isHanded = false;
    for (const listener of this.#listeners) listener();
  }

  /** `listener` is told of each batch from when it counts. */
  onCommit(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The queue of that name. @throws ExportError `damaged` or `other-templates`: see MessageQueue */
  openQueue(name: string, fingerprint: Buffer): MessageQueue {
    return new MessageQueue(this.#partOf(name), fingerprint, this);
  }

  /** Gives up what is in the queue of that name; returns what it sums up to, as far as that can be read. */
  clear(name: string): RecordSums {
    const part = this.#partOf(name);
    const lost = { records: 0, packets: 0, octets: 0 };
    try {
      for (const message of new MessageQueue(part, fingerprintOf(part), this).left) {
        add(lost, message);
      }
    } catch (error) {
      if (!(error instanceof ExportError)) throw error; // damaged
    }
    part.fill(0, 0, part.bytes.length);
    return lost;
  }

  #partOf(name: string): DurableMemory {
    const part = this.#part(hashOf(name).toString('latin1'));
    if (part === undefined) throw new RangeError(`the journal has no queue ${name}`);
    return part;
  }

  #part(hash: string): DurableMemory | undefined {
    const region = this.#regions.find((one) => one.hash === hash);
    return region && this.#memory.part(region.start, region.octets);
  }

  #countLeft(): number {
    if (this.#memory.number(READING_AT) !== this.committed + 1) return 0;
    if (this.#memory.word(LAYOUT_AT) !== FLOW_RECORD.size) return 0;
    let octets = 0;
    while (octets + FLOW_RECORD.size <= BATCH_OCTETS && this.bytes[octets + MARK] !== 0) {
      octets += FLOW_RECORD.size;
    }
    return octets;
  }
}

/** To be copied and not released: what was taken over may have to be again. */
function withoutMemory(message: FlowMessage): FlowMessage {
  const { bytes, templateRecords, dataRecords, packets, octets, times } = message;
  return { bytes, templateRecords, dataRecords, packets, octets, times };
}

function add(
  sums: { records: number; packets: number; octets: number },
  { dataRecords, packets, octets }: FlowMessage,
): void {
  sums.records += dataRecords;
  sums.packets += packets;
  sums.octets += octets;
}

function hashOf(name: string): Buffer {
  return createHash('sha256').update(name).digest();
}

function directoryBytes(memory: DurableMemory): Buffer {
  return memory.bytes.subarray(DIRECTORY, PAGE);
}

/** Of each queue the hash of its name, and its octets; zeros behind the last. */
function directoryOf(queues: readonly JournalQueue[]): Buffer {
  const directory = Buffer.alloc(PAGE - DIRECTORY);
  for (const [i, queue] of queues.entries()) {
    hashOf(queue.name).copy(directory, i * DIRECTORY_ROW);
    directory.writeDoubleLE(queueOctets(queue), i * DIRECTORY_ROW + NAME_OCTETS);
  }
  return directory;
}

function readDirectory(memory: DurableMemory): Region[] {
  const directory = directoryBytes(memory);
  const regions: Region[] = [];
  let start = QUEUES;
  for (let row = 0; row < MOST_QUEUES; row++) {
    const at = row * DIRECTORY_ROW;
    const octets = directory.readDoubleLE(at + NAME_OCTETS);
    if (!(octets > 0 && octets % PAGE === 0)) break;
    regions.push({ hash: directory.toString('latin1', at, at + NAME_OCTETS), start, octets });
    start += octets;
  }
  return regions;
}
