// Memory that outlives the process: a file or a BPF map that is mapped. A process may be killed between any
// two stores, so their order is what keeps it whole; each of these methods is one.

/** Atomics know no Float64Array. */
const FENCE = new Int32Array(1);

export class DurableMemory {
  readonly bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #numbers: Float64Array;
  readonly #onStore: (() => void) | undefined;

  /**
   * @param bytes begins at a multiple of 8, and has a multiple of 8 octets
   * @param onStore called after each store, for tests that end there
   */
  constructor(bytes: Buffer, onStore?: () => void) {
    const { buffer, byteOffset, length } = bytes;
    this.bytes = bytes;
    this.#words = new Uint32Array(buffer, byteOffset, length / 4);
    this.#numbers = new Float64Array(buffer, byteOffset, length / 8);
    this.#onStore = onStore;
  }

  /** What begins at `at`, which is a multiple of 8. */
  part(at: number, octets: number): DurableMemory {
    return new DurableMemory(this.bytes.subarray(at, at + octets), this.#onStore);
  }

  word(at: number): number {
    return this.#words[at / 4] ?? 0;
  }

  /** No store before it can become one after it, and the other way round. */
  setWord(at: number, value: number): void {
    Atomics.store(this.#words, at / 4, value);
    this.#onStore?.();
  }

  number(at: number): number {
    return this.#numbers[at / 8] ?? 0;
  }

  /** The same with eight octets in one store. */
  setNumber(at: number, value: number): void {
    Atomics.store(FENCE, 0, 0);
    this.#numbers[at / 8] = value;
    Atomics.store(FENCE, 0, 0);
    this.#onStore?.();
  }

  copyFrom(bytes: Uint8Array, at: number): void {
    this.bytes.set(bytes, at);
    this.#onStore?.();
  }

  fill(value: number, start: number, end: number): void {
    this.bytes.fill(value, start, end);
    this.#onStore?.();
  }
}
