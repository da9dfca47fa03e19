// CLOCK_BOOTTIME, which Node does not offer.
import type { KernelClock } from '../flow/clock.js';

export function openKernelClock(): KernelClock {
  throw new Error('not written yet');
}
