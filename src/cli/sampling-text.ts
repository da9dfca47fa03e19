// What a session says of its sampling when it begins and ends.
import type { MeterCounters } from '../flow/flow-source.js';
import type { Sampling } from '../flow/sampling.js';

const WAYS = {
  count: (interval: number) => `one packet in ${interval}, by count`,
  random: (interval: number) => `one packet in ${interval}, at random`,
  flow: (interval: number) => `one flow in ${interval}, by hash`,
} as const;

/** To follow what is metered: "; sampling one packet in 10, by count", or nothing. */
export function samplingClause(sampling: Sampling): string {
  return sampling.kind === 'none' ? '' : `; sampling ${WAYS[sampling.kind](sampling.interval)}`;
}

/** A line of the summary where packets were passed over: they are no loss. */
export function samplingLines(counters: MeterCounters | undefined): string[] {
  const packets = counters?.NOT_SAMPLED_PACKETS ?? 0;
  if (counters === undefined || packets === 0) return [];
  const all = packets + counters.METERED_PACKETS;
  return [
    `sampled: ${packets} of ${all} packets were not selected, with ` +
      `${counters.NOT_SAMPLED_OCTETS} octets; no number is scaled up`,
  ];
}
