// Flow records that wait for their reverse: one a connection, in the order of their arrival.
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import { kernelNs as kernelCounter } from '../../flow/clock.js';
import type { Side } from './connection-key.js';

interface Waiting {
  readonly record: Buffer;
  key: string;
  side: Side;
  sinceMs: number;
  older: Waiting | undefined;
  newer: Waiting | undefined;
}

const { packets: PACKETS, octets: OCTETS } = FLOW_RECORD.fields;
/** So many records share one piece of memory. */
const RECORDS_A_CHUNK = 256;

export class WaitingRecords {
  readonly #byKey = new Map<string, Waiting>();
  /** Used anew before more are made. */
  readonly #free: Waiting[] = [];
  #oldest: Waiting | undefined;
  #newest: Waiting | undefined;
  #packets = 0;
  #octets = 0;

  get count(): number {
    return this.#byKey.size;
  }

  /** What the records sum up to. */
  get packets(): number {
    return this.#packets;
  }
  get octets(): number {
    return this.#octets;
  }

  /** Since when the oldest one waits; undefined when there is none. */
  get oldestMs(): number | undefined {
    return this.#oldest?.sinceMs;
  }

  /** The side of the connection's record that waits. */
  sideOf(key: string): Side | undefined {
    return this.#byKey.get(key)?.side;
  }

  /** None of the same connection may be there. */
  put(key: string, side: Side, record: Buffer, offset: number, nowMs: number): void {
    const waiting = this.#take();
    record.copy(waiting.record, 0, offset, offset + FLOW_RECORD.size);
    this.#packets += kernelCounter(record, offset + PACKETS.offset);
    this.#octets += kernelCounter(record, offset + OCTETS.offset);
    waiting.key = key;
    waiting.side = side;
    waiting.sinceMs = nowMs;
    waiting.older = this.#newest;
    waiting.newer = undefined;
    if (this.#newest === undefined) this.#oldest = waiting;
    else this.#newest.newer = waiting;
    this.#newest = waiting;
    this.#byKey.set(key, waiting);
  }

  /** Takes the connection's record out; false when none waits. */
  take(key: string, out: Buffer, at: number): boolean {
    const waiting = this.#byKey.get(key);
    if (waiting === undefined) return false;
    waiting.record.copy(out, at);
    this.#remove(waiting);
    return true;
  }

  /** Takes the oldest record out and tells whose it is. */
  takeOldest(out: Buffer, at: number): { readonly key: string; readonly side: Side } | undefined {
    const waiting = this.#oldest;
    if (waiting === undefined) return undefined;
    const { key, side } = waiting;
    waiting.record.copy(out, at);
    this.#remove(waiting);
    return { key, side };
  }

  #remove(waiting: Waiting): void {
    this.#packets -= kernelCounter(waiting.record, PACKETS.offset);
    this.#octets -= kernelCounter(waiting.record, OCTETS.offset);
    this.#byKey.delete(waiting.key);
    const { older, newer } = waiting;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    waiting.older = undefined;
    waiting.newer = undefined;
    this.#free.push(waiting);
  }

  #take(): Waiting {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const chunk = Buffer.alloc(RECORDS_A_CHUNK * FLOW_RECORD.size);
    for (let at = 0; at < chunk.length; at += FLOW_RECORD.size) {
      const record = chunk.subarray(at, at + FLOW_RECORD.size);
      const [older, newer] = [undefined, undefined];
      this.#free.push({ record, key: '', side: 0, sinceMs: 0, older, newer });
    }
    return this.#take();
  }
}
