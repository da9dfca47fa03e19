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

  constructor(clock: KernelClock) {
    this.#clock = clock;
    this.#zeroBootMs = this.#bootMs() - DAY_MS;
    this.#bootEpoch = clock.bootEpoch();
  }

  /**
   * sysUptime wraps after 49.7 days. Moving its zero a day earlier looks to a collector as a restart
   * does, for which it wants templates; a wrap would misdate the flows in progress.
   * @returns whether the zero was moved
   */
  compare(): boolean {
    this.#bootEpoch = this.#clock.bootEpoch();
    const isWrapping = this.#bootMs() - this.#zeroBootMs > WORD - DAY_MS;
    if (isWrapping) this.#zeroBootMs = this.#bootMs() - DAY_MS;
    return isWrapping;
  }

  times(): MessageTimes {
    const bootEpoch = this.#bootEpoch;
    return { bootEpoch, uptimeZeroMs: Math.floor(bootEpochMs(bootEpoch)) + this.#zeroBootMs };
  }

  #bootMs(): number {
    return Math.floor(nsToMs(this.#clock.bootNs()));
  }
}
