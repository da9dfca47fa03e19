// Which packets are metered: from --sampling to a checked value.
import { NO_SAMPLING, type Sampling } from '../flow/sampling.js';
import { ConfigError } from './config-error.js';

const MIN_INTERVAL = 2;
/** NetFlow v5's header holds less: see src/exporter/messages/netflow-v5.ts. */
const MAX_INTERVAL = 2 ** 24;

/** A number alone is the deterministic count. */
const SAMPLING = /^(?:(count|random|flow):)?(\d{1,15})$/;

const ADVICE =
  'give 10 or count:10 for every 10th packet, random:10 for one in 10 at random, flow:10 for one ' +
  'flow in 10, or none';

/** @throws ConfigError */
export function readSampling(text: string): Sampling {
  if (text === 'none') return NO_SAMPLING;
  const [, kind = 'count', digits] = SAMPLING.exec(text) ?? [];
  if (digits === undefined) {
    throw new ConfigError(`--sampling ${text}`, 'no such way of sampling', ADVICE);
  }
  const interval = Number(digits);
  if (interval < MIN_INTERVAL || interval > MAX_INTERVAL) {
    const advice = `give a number from ${MIN_INTERVAL} to ${MAX_INTERVAL}, or none`;
    throw new ConfigError(`--sampling ${text}`, 'is out of range', advice);
  }
  return { kind: kind as 'count' | 'random' | 'flow', interval };
}
