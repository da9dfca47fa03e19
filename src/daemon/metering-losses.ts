// When packets were first and last lost, for the options that tell collectors so: the kernel counts
// them, and this notices.
import type { MeterCounters } from '../flow/flow-source.js';
import type { MeteringLosses } from '../flow/metering-status.js';

export const NO_LOSSES: MeteringLosses = {
  packets: 0,
  octets: 0,
  firstMs: undefined,
  lastMs: undefined,
};

export class MeteringLossWatch {
  readonly #counters: () => MeterCounters | undefined;
  #losses = NO_LOSSES;

  constructor(counters: () => MeterCounters | undefined) {
    this.#counters = counters;
  }

  /** Looks at the counters: times are those of the looks. */
  losses(): MeteringLosses {
    const { LOST_PACKETS: packets = 0, LOST_OCTETS: octets = 0 } = this.#counters() ?? {};
    if (packets > this.#losses.packets) {
      const lastMs = Date.now();
      this.#losses = { packets, octets, firstMs: this.#losses.firstMs ?? lastMs, lastMs };
    }
    return this.#losses;
  }
}
