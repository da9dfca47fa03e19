// CLOCK_BOOTTIME, which Node does not offer, and its distance to the time of day.
import { nsToMs, type KernelClock } from '../flow/clock.js';
import { CLOCK_BOOTTIME, CLOCK_REALTIME, loadLibc, type Libc } from './native/libc.js';

/** Two clocks cannot be read at once: in between, the process may lose its processor. */
const MAX_APART_NS = 100_000n;
const ATTEMPTS = 5;

export function openKernelClock({ clockNs }: Pick<Libc, 'clockNs'> = loadLibc()): KernelClock {
  return {
    bootNs: () => clockNs(CLOCK_BOOTTIME),
    bootEpochMs: () => nsToMs(bootEpochNs(clockNs)),
    bootEpochNs: () => bootEpochNs(clockNs),
  };
}

/** The time of day is read between two readings of the other clock, and belongs to their middle. */
function bootEpochNs(clockNs: Libc['clockNs']): bigint {
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
  return epochNs;
}
