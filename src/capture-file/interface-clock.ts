// The clock of an interface in pcapng: how fast it ticks is the interface's own matter.
import type { MutableFrame } from './captured-frame.js';

const BINARY = 0x80;
/** What there are, almost always: these are read without a division of 64 bits. */
const USUAL_TICKS: readonly number[] = [1e6, 1e9];
const WORD = 2 ** 32;

export class InterfaceClock {
  /** In a second. */
  readonly #ticks: bigint;
  /** Seconds that are added. */
  readonly #offset: bigint;
  readonly #usualTicks: number | undefined;
  /** The upper half of a time, as it is for some seconds at least, and what it comes to. */
  #high = -1;
  #seconds = 0;
  #rest = 0;

  /** @param resolution if_tsresol: a negative power of 10, or of 2 with the first bit set */
  constructor(resolution: number, offset: bigint) {
    const power = BigInt(resolution & ~BINARY);
    this.#ticks = resolution & BINARY ? 1n << power : 10n ** power;
    this.#offset = offset;
    this.#usualTicks = USUAL_TICKS.find((ticks) => BigInt(ticks) === this.#ticks);
  }

  read(high: number, low: number, frame: MutableFrame): void {
    const ticks = this.#usualTicks;
    if (ticks === undefined) {
      const time = (BigInt(high) << 32n) | BigInt(low);
      frame.seconds = Number(time / this.#ticks + this.#offset);
      frame.nanoseconds = Number(((time % this.#ticks) * 1_000_000_000n) / this.#ticks);
      return;
    }
    if (high !== this.#high) {
      const time = BigInt(high) * BigInt(WORD);
      this.#high = high;
      this.#seconds = Number(time / this.#ticks + this.#offset);
      this.#rest = Number(time % this.#ticks);
    }
    const rest = this.#rest + low;
    const seconds = Math.floor(rest / ticks);
    frame.seconds = this.#seconds + seconds;
    frame.nanoseconds = (rest - seconds * ticks) * (1e9 / ticks);
  }
}
