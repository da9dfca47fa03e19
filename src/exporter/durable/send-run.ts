// Which messages are on their way to the kernel in this moment. With sendmmsg(2) the kernel itself notes of
// each whether it went, in the array that stands here: so it is known after a kill in the middle.
import type { DurableMemory } from './durable-memory.js';

export const MOST_RUN_MESSAGES = 64;
/** struct mmsghdr: struct msghdr, then the octets that were sent, which are 0 until then. */
const MMSGHDR_OCTETS = 64;
const SENT_OCTETS = 56;
const COUNT = 0;
const SEQUENCE = 4;
const ROWS = 64;
/** Of each message: its entry, or NO_ENTRY, and the sequence number after it. */
const ROW_OCTETS = 8;
const HEADERS = ROWS + MOST_RUN_MESSAGES * ROW_OCTETS;
/** Templates and options stand in no queue. */
const NO_ENTRY = 0xffffffff;

export const RUN_OCTETS = HEADERS + MOST_RUN_MESSAGES * MMSGHDR_OCTETS;

export interface RunMessage {
  readonly entry: number | undefined;
  readonly nextSequence: number;
}

export class SendRun {
  readonly #memory: DurableMemory;

  constructor(memory: DurableMemory) {
    this.#memory = memory;
  }

  /** An array of struct mmsghdr that sendmmsg() is to be called with. */
  get headers(): Buffer {
    return this.#memory.bytes.subarray(HEADERS, RUN_OCTETS);
  }

  get isActive(): boolean {
    return this.#memory.word(COUNT) > 0;
  }

  /** Of the message that is sent next. */
  get sequence(): number {
    return this.#memory.word(SEQUENCE);
  }

  begin(messages: readonly RunMessage[]): void {
    const memory = this.#memory;
    for (const [i, { entry, nextSequence }] of messages.entries()) {
      memory.setWord(ROWS + i * ROW_OCTETS, entry ?? NO_ENTRY);
      memory.setWord(ROWS + i * ROW_OCTETS + 4, nextSequence);
      memory.setWord(HEADERS + i * MMSGHDR_OCTETS + SENT_OCTETS, 0);
    }
    memory.setWord(COUNT, messages.length);
  }

  /** What went is noted elsewhere by now. */
  end(sequence: number): void {
    this.#memory.setWord(SEQUENCE, sequence);
    this.#memory.setWord(COUNT, 0);
  }

  /** After a kill: the entries of messages that went. To be followed by end(). */
  recover(): { readonly entries: readonly number[]; readonly sequence: number } {
    const memory = this.#memory;
    const entries: number[] = [];
    let { sequence } = this;
    const count = Math.min(memory.word(COUNT), MOST_RUN_MESSAGES);
    for (let i = 0; i < count; i++) {
      if (memory.word(HEADERS + i * MMSGHDR_OCTETS + SENT_OCTETS) === 0) break;
      const entry = memory.word(ROWS + i * ROW_OCTETS);
      if (entry !== NO_ENTRY) entries.push(entry);
      sequence = memory.word(ROWS + i * ROW_OCTETS + 4);
    }
    return { entries, sequence };
  }
}
