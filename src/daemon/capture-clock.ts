// The time of a capture file, as if it were the kernel's: how far the file has been read. It counts from
// 1970 and not from the first frame, before which others may come.
import type { BootEpoch, KernelClock } from '../flow/clock.js';

/** When, since 1970. */
export interface CaptureTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

const EPOCH: BootEpoch = { seconds: 0, nanoseconds: 0 };
/** In 64 bits of nanoseconds are some more, and 0 is no time. */
const MOST_SECONDS = 2 ** 33;
const LATEST: CaptureTime = { seconds: MOST_SECONDS, nanoseconds: 0 };
const EARLIEST: CaptureTime = { seconds: 0, nanoseconds: 1 };
const NS_PER_SECOND = 1_000_000_000n;
/** Packets come out of order by less. */
const LEAP_S = 3600;

export class CaptureClock implements KernelClock {
  #seconds: number;
  #nanoseconds: number;

  constructor(first: CaptureTime) {
    const { seconds, nanoseconds } = possibleTime(first);
    this.#seconds = seconds;
    this.#nanoseconds = nanoseconds;
  }

  /**
   * Whether it is so long before that it is no matter of order: captures are put together of others. The
   * flows of before cannot be told together with those that come.
   */
  isLeapBack({ seconds }: CaptureTime): boolean {
    return seconds < this.#seconds - LEAP_S;
  }

  leapTo({ seconds, nanoseconds }: CaptureTime): void {
    this.#seconds = seconds;
    this.#nanoseconds = nanoseconds;
  }

  /** A frame of this time has been metered. */
  advance({ seconds, nanoseconds }: CaptureTime): void {
    if (seconds < this.#seconds) return;
    if (seconds === this.#seconds && nanoseconds < this.#nanoseconds) return;
    this.#seconds = seconds;
    this.#nanoseconds = nanoseconds;
  }

  nowMs(): number {
    return milliseconds({ seconds: this.#seconds, nanoseconds: this.#nanoseconds });
  }

  bootNs(): bigint {
    return nanosecondsOf({ seconds: this.#seconds, nanoseconds: this.#nanoseconds });
  }

  bootEpoch(): BootEpoch {
    return EPOCH;
  }
}

/** The nearest that the records have room for: what is beyond is damage. */
export function possibleTime(time: CaptureTime): CaptureTime {
  const { seconds, nanoseconds } = time;
  if (seconds < 0 || (seconds === 0 && nanoseconds === 0)) return EARLIEST;
  return seconds > MOST_SECONDS ? LATEST : time;
}

export function milliseconds({ seconds, nanoseconds }: CaptureTime): number {
  return seconds * 1000 + nanoseconds / 1e6;
}

export function nanosecondsOf({ seconds, nanoseconds }: CaptureTime): bigint {
  return BigInt(seconds) * NS_PER_SECOND + BigInt(nanoseconds);
}
