// CLOCK_BOOTTIME, which Node does not offer, and its distance to the time of day.
import { bootEpochOf, type KernelClock } from '../flow/clock.js';
import { readBootOffsetNs } from '../flow/time-namespace.js';
import { CLOCK_BOOTTIME, CLOCK_REALTIME, loadLibc, type Libc } from './native/libc.js';

/**
 * Two clocks cannot be read at once: in between, the process may lose its processor. Within so much a
 * difference is the measurement's own.
 */
const MAX_APART_NS = 100_000n;
const ATTEMPTS = 5;

/** @param bootOffsetNs of the own time namespace */
export function openKernelClock(
  libc: Pick<Libc, 'clockNs'> = loadLibc(),
  bootOffsetNs = readBootOffsetNs(),
): KernelClock {
  const clockNs = (clock: number): bigint =>
    libc.clockNs(clock) - (clock === CLOCK_BOOTTIME ? bootOffsetNs : 0n);
  let knownNs: bigint | undefined;
  /*
   * Measured anew each time and changed only by more than the error: all who ask have the same scale, and
   * a flow has the same times at each collector.
   */
  const steadyEpochNs = (): bigint => {
    const { epochNs, apartNs } = measureBootEpoch(clockNs);
    const toleranceNs = apartNs > MAX_APART_NS ? apartNs : MAX_APART_NS;
    if (knownNs === undefined || distance(epochNs, knownNs) > toleranceNs) knownNs = epochNs;
    return knownNs;
  };
  return {
    bootNs: () => clockNs(CLOCK_BOOTTIME),
    bootEpoch: () => bootEpochOf(steadyEpochNs()),
  };
}

function distance(a: bigint, b: bigint): bigint {
  return a < b ? b - a : a - b;
}

/** The time of day is read between two readings of the other clock, and belongs to their middle. */
function measureBootEpoch(clockNs: Libc['clockNs']): { epochNs: bigint; apartNs: bigint } {
  let closestNs: bigint | undefined;
  let epochNs = 0n;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const beforeNs = clockNs(CLOCK_BOOTTIME);
    const realNs = clockNs(CLOCK_REALTIME);
    const apartNs = clockNs(CLOCK_BOOTTIME) - beforeNs;
    if (closestNs === undefined || apartNs < closestNs) {
      closestNs = apartNs;
      epochNs = realNs - (beforeNs + apartNs / 2n);
    }
    if (apartNs <= MAX_APART_NS) break;
  }
  return { epochNs, apartNs: closestNs ?? 0n };
}
