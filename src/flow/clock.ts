// Flow times are CLOCK_BOOTTIME, which runs through suspend and knows no clock steps; collectors
// want the time of day. The difference of the two is measured anew for each sweep.

export interface KernelClock {
  /** CLOCK_BOOTTIME in nanoseconds. */
  bootNs(): bigint;
  /** Time of day at CLOCK_BOOTTIME zero, in milliseconds since 1970, with its fraction. */
  bootEpochMs(): number;
  /** The same in whole nanoseconds. */
  bootEpochNs(): bigint;
}

const WORD = 2 ** 32;
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

/**
 * Milliseconds since 1970 of a kernel time that stands in a buffer as a little-endian 64-bit
 * number of nanoseconds. A double holds such a time to 2 ns for 208 days of uptime and to 1 us
 * for centuries, far finer than the millisecond that is wanted.
 */
export function epochMs(bytes: Buffer, offset: number, bootEpochMs: number): number {
  return Math.floor(bootEpochMs + kernelNs(bytes, offset) / 1e6);
}
