// struct meter_settings, which the programs are told before they are loaded.
import { randomBytes } from 'node:crypto';
import { METER_SETTINGS, SAMPLING_KIND } from '../flow/flow-contract.gen.js';
import { NO_SAMPLING, type Sampling } from '../flow/sampling.js';

export interface MeterSettings {
  /** The network namespace in which interfaces are metered, by its inode number. */
  readonly netns?: number;
  /** The cgroup whose sockets are metered, by the kernel's number; 0n: all. */
  readonly watchedCgroup?: bigint;
  /** Which packets are metered; default: all. */
  readonly sampling?: Sampling;
  /** 16 octets, which decide with `kind: 'flow'` which flows; default: random ones. */
  readonly samplingSeed?: Buffer;
}

const KINDS: Readonly<Record<Sampling['kind'], number>> = {
  none: SAMPLING_KIND.SAMPLING_NONE,
  count: SAMPLING_KIND.SAMPLING_COUNT,
  random: SAMPLING_KIND.SAMPLING_RANDOM,
  flow: SAMPLING_KIND.SAMPLING_FLOW,
};

export function meterSettingsBytes(settings: MeterSettings, canCast: boolean): Buffer {
  const { fields, size } = METER_SETTINGS;
  const sampling = settings.sampling ?? NO_SAMPLING;
  const interval = sampling.kind === 'none' ? 1 : sampling.interval;
  const seed = settings.samplingSeed ?? randomBytes(fields.sampling_seed.size);
  const bytes = Buffer.alloc(size);
  bytes.writeBigUInt64LE(settings.watchedCgroup ?? 0n, fields.watched_cgroup.offset);
  seed.copy(bytes, fields.sampling_seed.offset, 0, fields.sampling_seed.size);
  bytes.writeUInt32LE(settings.netns ?? 0, fields.netns.offset);
  bytes.writeUInt32LE(interval, fields.sampling_interval.offset);
  bytes.writeUInt8(canCast ? 1 : 0, fields.can_cast.offset);
  bytes.writeUInt8(KINDS[sampling.kind], fields.sampling.offset);
  return bytes;
}
