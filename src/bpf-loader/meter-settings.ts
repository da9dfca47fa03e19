// struct meter_settings, which the programs are told before they are loaded.
import { randomBytes } from 'node:crypto';
import { METER_SETTINGS, SAMPLING_KIND, TRACK_LEVEL } from '../flow/flow-contract.gen.js';
import { NO_SAMPLING, type Sampling } from '../flow/sampling.js';
import type { TrackLevel } from '../flow/track-level.js';

export interface MeterSettings {
  /** The network namespace in which interfaces are metered, by its inode number. */
  readonly netns?: number;
  /** The cgroup whose sockets are metered, by the kernel's number; 0n: all. */
  readonly watchedCgroup?: bigint;
  /** Which packets are metered; default: all. */
  readonly sampling?: Sampling;
  /** What tells flows apart; default: full. */
  readonly trackLevel?: TrackLevel;
  /** The process on this host tells flows apart too; default: no. */
  readonly trackProcess?: boolean;
  /** 16 octets, which decide with sampling of flows which ones; default: random. */
  readonly hashSeed?: Buffer;
}

const KINDS: Readonly<Record<Sampling['kind'], number>> = {
  none: SAMPLING_KIND.SAMPLING_NONE,
  count: SAMPLING_KIND.SAMPLING_COUNT,
  random: SAMPLING_KIND.SAMPLING_RANDOM,
  flow: SAMPLING_KIND.SAMPLING_FLOW,
};

const LEVELS: Readonly<Record<TrackLevel, number>> = {
  ether: TRACK_LEVEL.TRACK_ETHERNET,
  vlan: TRACK_LEVEL.TRACK_VLAN,
  full: TRACK_LEVEL.TRACK_FULL,
  proto: TRACK_LEVEL.TRACK_PROTOCOL,
  ip: TRACK_LEVEL.TRACK_IP,
};

/** What the loader itself knows. */
interface LoadedFor {
  readonly canCast: boolean;
  readonly atSockets: boolean;
}

export function meterSettingsBytes(
  settings: MeterSettings,
  { canCast, atSockets }: LoadedFor,
): Buffer {
  const { fields, size } = METER_SETTINGS;
  const sampling = settings.sampling ?? NO_SAMPLING;
  const interval = sampling.kind === 'none' ? 1 : sampling.interval;
  const seed = settings.hashSeed ?? randomBytes(fields.hash_seed.size);
  const bytes = Buffer.alloc(size);
  bytes.writeBigUInt64LE(settings.watchedCgroup ?? 0n, fields.watched_cgroup.offset);
  seed.copy(bytes, fields.hash_seed.offset, 0, fields.hash_seed.size);
  bytes.writeUInt32LE(settings.netns ?? 0, fields.netns.offset);
  bytes.writeUInt32LE(interval, fields.sampling_interval.offset);
  bytes.writeUInt8(canCast ? 1 : 0, fields.can_cast.offset);
  bytes.writeUInt8(KINDS[sampling.kind], fields.sampling.offset);
  bytes.writeUInt8(LEVELS[settings.trackLevel ?? 'full'], fields.track_level.offset);
  bytes.writeUInt8(settings.trackProcess === true ? 1 : 0, fields.track_process.offset);
  bytes.writeUInt8(atSockets ? 1 : 0, fields.at_sockets.offset);
  return bytes;
}
