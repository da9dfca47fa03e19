// The messages that wait for one collector, in memory that outlives the process: a ring of entries. What is
// in it is sent by this run or by the next one, in order.
import type { RecordSums } from '../export-counters.js';
import { ExportError } from '../export-error.js';
import type { MessageMemory } from '../messages/message-slabs.js';
import type { FlowMessage, OutgoingMessage } from '../messages/outgoing-message.js';
import type { DurableMemory } from './durable-memory.js';
import {
  ENTRY_ALIGNMENT,
  STATE,
  entryBatch,
  entryFault,
  entryLength,
  entryOctets,
  entryState,
  readMessage,
  setEntryBatch,
  setGone,
  writeEntry,
  writeFiller,
} from './queue-entry.js';
import { RUN_OCTETS, SendRun } from './send-run.js';

/**
 * Which messages count: those of a batch of flow records that was encoded for all collectors. The others
 * are made again from the records after a kill.
 */
export interface BatchCommit {
  /** Tells one journal from another; 0 where there is none, and every message counts at once. */
  readonly id: number;
  /** That messages are of which are put now. */
  readonly batch: number;
  /** The last one that counts. */
  readonly committed: number;
}

export const NO_COMMIT: BatchCommit = { id: 0, batch: 0, committed: 0 };

export interface OpenQueue {
  readonly queue: MessageQueue;
  /** What the last run had left and cannot be sent any more. */
  readonly lost?: RecordSums;
  /** Nobody may use the queue, nor messages of it, after. */
  readonly close: () => void;
}

const MAGIC = 0x31716670; // "pfq1" in the order of the octets
const MAGIC_AT = 0;
const OCTETS_AT = 4;
const HEAD = 8;
const TAIL = 12;
const COMMIT_ID = 16;
/** Of an even batch and of an odd one: what belongs to the last batch stays until the next one counts. */
const WAITING = 24;
const WAITING_OCTETS = 24;
const FINGERPRINT = 128;
export const FINGERPRINT_OCTETS = 32;
const RUN = 256;
const ENTRIES = Math.ceil((RUN + RUN_OCTETS) / 4096) * 4096;

/** For two messages of the longest kind. */
export const LEAST_QUEUE_OCTETS = ENTRIES + 4 * entryOctets(65_535);

class Held implements MessageMemory {
  readonly at: number;
  readonly #release: (at: number) => void;

  constructor(at: number, release: (at: number) => void) {
    this.at = at;
    this.#release = release;
  }

  release(): void {
    this.#release(this.at);
  }
}

export class MessageQueue {
  /** What the last run left, in order. */
  readonly left: readonly FlowMessage[];
  /** What waited for its reverse, outside of this memory, when the last run was killed: it is lost. */
  readonly leftWaiting: RecordSums;
  /** Of the next message, where sequence numbers do not begin with a session. */
  readonly sequence: number;
  readonly #header: DurableMemory;
  readonly #ring: DurableMemory;
  readonly #run: SendRun;
  readonly #commit: BatchCommit;
  readonly #release = (at: number): void => {
    this.#leave(at);
  };

  /**
   * Takes over what is there; memory of zeros becomes an empty queue.
   * @param fingerprint what the messages are encoded by: with another one nobody would understand them
   * @throws ExportError `damaged`, or `other-templates`; nothing was changed then
   */
  constructor(memory: DurableMemory, fingerprint: Buffer, commit: BatchCommit = NO_COMMIT) {
    const { length } = memory.bytes;
    if (length < ENTRIES + ENTRY_ALIGNMENT) throw damaged('it is too short');
    this.#header = memory.part(0, ENTRIES);
    const ringOctets = Math.floor((length - ENTRIES) / ENTRY_ALIGNMENT) * ENTRY_ALIGNMENT;
    this.#ring = memory.part(ENTRIES, ringOctets);
    this.#run = new SendRun(memory.part(RUN, RUN_OCTETS));
    this.#commit = commit;
    if (this.#isNew()) this.#create(fingerprint);
    this.sequence = this.#finishRun(this.#check());
    this.#checkFingerprint(fingerprint);
    this.left = this.#recover();
    this.leftWaiting = this.#waiting(commit.committed);
    this.noteWaiting({ records: 0, packets: 0, octets: 0 }, commit.committed);
  }

  /** What sendmmsg() has to be called with between beginRun() and endRun(). */
  get runHeaders(): Buffer {
    return this.#run.headers;
  }

  /** Whether what is put now waits for its batch. */
  get isHeldBack(): boolean {
    return this.#commit.batch > this.#commit.committed;
  }

  hasRoom(messageOctets: number): boolean {
    return this.#placeFor(entryOctets(messageOctets)) !== undefined;
  }

  /**
   * Where there is room. Returns the message as it stands in the queue; the memory of the other is free again.
   */
  put(message: FlowMessage): FlowMessage {
    const octets = entryOctets(message.bytes.length);
    const at = this.#placeFor(octets);
    if (at === undefined) throw new RangeError('there is no room in the queue');
    const head = this.#header.word(HEAD);
    if (at !== head) writeFiller(this.#ring, head, this.#ring.bytes.length - head);
    writeEntry(this.#ring, at, message, this.#commit.batch);
    this.#header.setWord(HEAD, (at + octets) % this.#ring.bytes.length);
    message.memory?.release();
    return readMessage(this.#ring, at, new Held(at, this.#release));
  }

  /** These messages are sent next, by sendmmsg(); after each of them the sequence number is that. */
  beginRun(messages: readonly OutgoingMessage[], nextSequences: readonly number[]): void {
    this.#run.begin(
      messages.map((message, i) => ({
        entry:
          'memory' in message && message.memory instanceof Held ? message.memory.at : undefined,
        nextSequence: nextSequences[i] ?? 0,
      })),
    );
  }

  /** Those that went were released; only now can others stand in their places. */
  endRun(sequence: number): void {
    this.#run.end(sequence);
    this.#advance();
  }

  /** What waits for its reverse after a batch, outside of this memory. */
  noteWaiting({ records, packets, octets }: RecordSums, batch = this.#commit.batch): void {
    const at = WAITING + (batch % 2) * WAITING_OCTETS;
    this.#header.setNumber(at, records);
    this.#header.setNumber(at + 8, packets);
    this.#header.setNumber(at + 16, octets);
  }

  #waiting(batch: number): RecordSums {
    const at = WAITING + (batch % 2) * WAITING_OCTETS;
    const [records, packets, octets] = [at, at + 8, at + 16].map((it) => this.#header.number(it));
    return { records: records ?? 0, packets: packets ?? 0, octets: octets ?? 0 };
  }

  /** Or it was killed while it was made. */
  #isNew(): boolean {
    return [MAGIC_AT, HEAD, TAIL].every((at) => this.#header.word(at) === 0);
  }

  #create(fingerprint: Buffer): void {
    this.#header.copyFrom(fingerprint, FINGERPRINT);
    this.#header.setNumber(COMMIT_ID, this.#commit.id);
    this.#header.setWord(OCTETS_AT, this.#ring.bytes.length);
    this.#header.setWord(MAGIC_AT, MAGIC);
  }

  /** @returns where entries begin */
  #check(): ReadonlySet<number> {
    const [header, octets] = [this.#header, this.#ring.bytes.length];
    if (header.word(MAGIC_AT) !== MAGIC) throw damaged('it does not begin as one');
    const written = header.word(OCTETS_AT);
    if (written !== octets) throw damaged(`it has room for ${octets} octets and says ${written}`);
    for (const name of [HEAD, TAIL]) {
      const at = header.word(name);
      if (at >= octets || at % ENTRY_ALIGNMENT !== 0) throw damaged(`an end of it is at ${at}`);
    }
    const places = new Set<number>();
    this.#each((at) => {
      const fault = entryFault(this.#ring, at);
      if (fault !== undefined) throw damaged(`${fault} at ${ENTRIES + at}`);
      places.add(at);
    });
    return places;
  }

  #checkFingerprint(fingerprint: Buffer): void {
    const known = this.#header.bytes.subarray(FINGERPRINT, FINGERPRINT + FINGERPRINT_OCTETS);
    if (known.equals(fingerprint)) return;
    if (this.#header.word(HEAD) !== this.#header.word(TAIL)) {
      const reason = 'its messages were encoded with other templates';
      throw new ExportError('other-templates', 'take over a queue of messages', reason);
    }
    this.#header.copyFrom(fingerprint, FINGERPRINT);
  }

  #finishRun(places: ReadonlySet<number>): number {
    const { entries, sequence } = this.#run.recover();
    const stray = entries.find((at) => !places.has(at));
    if (stray !== undefined) throw damaged(`a message on its way at ${ENTRIES + stray}`);
    for (const at of entries) this.#leave(at);
    this.endRun(sequence);
    return sequence;
  }

  /** Without messages of a batch that does not count. Those of another journal all do: it is gone. */
  #recover(): FlowMessage[] {
    const { id, committed } = this.#commit;
    const isSame = this.#header.number(COMMIT_ID) === id;
    const messages: FlowMessage[] = [];
    let end: number | undefined;
    this.#each((at) => {
      if (entryState(this.#ring, at) !== STATE.waiting) return;
      if (isSame && entryBatch(this.#ring, at) > committed) end ??= at;
      if (end !== undefined) return;
      if (!isSame) setEntryBatch(this.#ring, at, 0);
      messages.push(readMessage(this.#ring, at, new Held(at, this.#release)));
    });
    if (end !== undefined) this.#header.setWord(HEAD, end);
    if (!isSame) this.#header.setNumber(COMMIT_ID, id);
    return messages;
  }

  /** From the oldest one on, fillers too. */
  #each(act: (at: number) => void): void {
    const head = this.#header.word(HEAD);
    const capacity = this.#ring.bytes.length;
    let at = this.#header.word(TAIL);
    for (let seen = 0; at !== head;) {
      act(at);
      const octets = entryLength(this.#ring, at);
      seen += octets;
      if (seen > capacity) throw damaged('its entries have no end');
      at = (at + octets) % capacity;
    }
  }

  #placeFor(octets: number): number | undefined {
    const [head, tail] = [this.#header.word(HEAD), this.#header.word(TAIL)];
    const capacity = this.#ring.bytes.length;
    // Head and tail are the same only when the queue is empty.
    if (head < tail) return head + octets < tail ? head : undefined;
    const isRoomBehind = head + octets < capacity || (head + octets === capacity && tail > 0);
    if (isRoomBehind) return head;
    return octets < tail ? 0 : undefined;
  }

  #leave(at: number): void {
    setGone(this.#ring, at);
    if (!this.#run.isActive) this.#advance();
  }

  #advance(): void {
    const [header, ring] = [this.#header, this.#ring];
    const [head, tail] = [header.word(HEAD), header.word(TAIL)];
    let at = tail;
    while (at !== head && entryState(ring, at) !== STATE.waiting) {
      at = (at + entryLength(ring, at)) % ring.bytes.length;
    }
    if (at !== tail) header.setWord(TAIL, at);
  }
}

/** What stands in the memory of a queue. */
export function fingerprintOf(memory: DurableMemory): Buffer {
  return Buffer.from(memory.bytes.subarray(FINGERPRINT, FINGERPRINT + FINGERPRINT_OCTETS));
}

/** Whether no run has ever opened it. */
export function isUnusedQueue(memory: DurableMemory): boolean {
  return memory.word(MAGIC_AT) === 0;
}

function damaged(reason: string): ExportError {
  return new ExportError('damaged', 'take over a queue of messages', `it is damaged: ${reason}`);
}
