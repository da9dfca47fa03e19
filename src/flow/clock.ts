// Flow times are CLOCK_BOOTTIME, which runs through suspend and knows no clock steps; collectors
// want the time of day. The difference of the two is measured anew for each sweep.

export interface KernelClock {
  /** CLOCK_BOOTTIME in nanoseconds. */
  bootNs(): bigint;
  /** Time of day at CLOCK_BOOTTIME zero. */
  bootEpoch(): BootEpoch;
}

/** Since 1970, to the nanosecond: a double has no room for the time of day in nanoseconds. */
export interface BootEpoch {
  readonly seconds: number;
  /** Beyond the seconds: below 10^9. */
  readonly nanoseconds: number;
}

const WORD = 2 ** 32;
const NS_PER_SECOND = 1_000_000_000n;
const NS_PER_MS = 1_000_000n;

/** Nanoseconds as milliseconds with their fraction: a double has no room for the time of day in ns. */
export function nsToMs(ns: bigint): number {
  return Number(ns / NS_PER_MS) + Number(ns % NS_PER_MS) / 1e6;
}

/**
 * A kernel time, in nanoseconds, that stands in a buffer as a little-endian 64-bit number. Exact for 104
 * days of uptime, then rounded to 2 ns and so on: always the same for the same time.
 */
export function kernelNs(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset + 4) * WORD + bytes.readUInt32LE(offset);
}

/** @param ns since 1970, not before it */
export function bootEpochOf(ns: bigint): BootEpoch {
  return { seconds: Number(ns / NS_PER_SECOND), nanoseconds: Number(ns % NS_PER_SECOND) };
}

/** Milliseconds since 1970, with their fraction to a quarter of a microsecond. */
export function bootEpochMs({ seconds, nanoseconds }: BootEpoch): number {
  return seconds * 1000 + nanoseconds / 1e6;
}

/**
 * Whole milliseconds since 1970, cut, of a kernel time that stands in a buffer as a little-endian 64-bit
 * number of nanoseconds. In integers, because the sum of two doubles may be rounded up to the next one.
 */
export function epochMs(bytes: Buffer, offset: number, epoch: BootEpoch): number {
  return epochMsOf(bytes.readUInt32LE(offset + 4), bytes.readUInt32LE(offset), epoch);
}

/** The same of its two halves: a double has not enough digits, and 2^32 ns are 4294 ms and 967296 ns. */
export function epochMsOf(high: number, low: number, epoch: BootEpoch): number {
  const restNs = high * (WORD % 1e6) + low + epoch.nanoseconds;
  return epoch.seconds * 1000 + high * Math.floor(WORD / 1e6) + Math.floor(restNs / 1e6);
}
