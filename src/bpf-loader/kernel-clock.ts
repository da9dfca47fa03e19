// CLOCK_BOOTTIME, which Node does not offer, and its distance to the time of day.
import type { KernelClock } from '../flow/clock.js';
import { CLOCK_BOOTTIME, CLOCK_REALTIME, loadLibc } from './native/libc.js';

export function openKernelClock(): KernelClock {
  const { clockNs } = loadLibc();
  return {
    bootNs: () => clockNs(CLOCK_BOOTTIME),
    bootEpochMs: () => Number(clockNs(CLOCK_REALTIME) - clockNs(CLOCK_BOOTTIME)) / 1e6,
  };
}
