// The two scales of time in a message: the time of day, and sysUptime. Both are compared with the
// kernel's clock once a sweep, so that all times of a sweep are on one scale.
import { bootEpochMs, nsToMs, type BootEpoch, type KernelClock } from '../../flow/clock.js';
import type { MessageTimes } from '../messages/outgoing-message.js';

const DAY_MS = 86_400_000;
const WORD = 2 ** 32;

export class UptimeClock {
  readonly #clock: KernelClock;
  /** sysUptime zero on CLOCK_BOOTTIME: a day before the start, for flows that began before it. */
  #zeroBootMs: number;
  #bootEpoch: BootEpoch;
  /** When the clocks were compared last. */
  #comparedMs: number;

  constructor(clock: KernelClock) {
    this.#clock = clock;
    this.#comparedMs = this.#bootMs();
    this.#zeroBootMs = this.#comparedMs - DAY_MS;
    this.#bootEpoch = clock.bootEpoch();
  }

  /**
   * sysUptime wraps after 49.7 days. Moving its zero a day earlier looks to a collector as a restart
   * does, for which it wants templates; a wrap would misdate the flows in progress. So would a zero in the
   * future: the time of a capture file can leap back.
   * @returns whether the zero was moved
   */
  compare(): boolean {
    this.#bootEpoch = this.#clock.bootEpoch();
    const nowMs = this.#bootMs();
    const isMoved = nowMs - this.#zeroBootMs > WORD - DAY_MS || nowMs < this.#comparedMs;
    if (isMoved) this.#zeroBootMs = nowMs - DAY_MS;
    this.#comparedMs = nowMs;
    return isMoved;
  }

  times(): MessageTimes {
    const bootEpoch = this.#bootEpoch;
    const epochMs = bootEpochMs(bootEpoch);
    return {
      bootEpoch,
      uptimeZeroMs: Math.floor(epochMs) + this.#zeroBootMs,
      packedMs: epochMs + this.#comparedMs,
    };
  }

  #bootMs(): number {
    return Math.floor(nsToMs(this.#clock.bootNs()));
  }
}
