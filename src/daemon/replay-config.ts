// What a replay of a capture file is told to do: from the words of a command line to checked values.
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { Sampling } from '../flow/sampling.js';
import type { TrackLevel } from '../flow/track-level.js';
import { ConfigError } from './config-error.js';
import { readMeterConfig, type MeterSettings } from './meter-config.js';
import type { TimeoutConfig } from './timeouts-config.js';

export interface ReplayConfig extends TimeoutConfig {
  /** A path, or "-" for standard input. */
  readonly file: string;
  /** A pcap-filter(7) expression; undefined: all frames. */
  readonly filter?: string;
  /** In the records, in the place of the capture's own; undefined: as the capture numbers them. */
  readonly interfaceIndex?: number | undefined;
  /** Of both IP versions together. */
  readonly maxFlows: number;
  readonly sampling: Sampling;
  readonly trackLevel: TrackLevel;
  readonly nonProcessNames: NonProcessNames;
}

export interface ReplaySettings extends MeterSettings {
  readonly read: string;
  readonly interfaceIndex?: number | undefined;
}

/** @throws ConfigError */
export function readReplayConfig(settings: ReplaySettings): ReplayConfig {
  const { read, interfaceIndex } = settings;
  if (read === '')
    throw new ConfigError('-r', 'no file given', 'give a path, or - for standard input');
  refuseCaptureSettings(settings);
  // What a capture is and where it is captured has nothing to do with each other; the rest is the same.
  const meter = readMeterConfig({ ...settings, interface: ['any'] });
  const { timeouts, sweepIntervalMs, maxFlows, sampling, nonProcessNames, filter, trackLevel } =
    meter;
  return {
    file: read,
    interfaceIndex,
    ...(filter !== undefined && { filter }),
    timeouts,
    ...(sweepIntervalMs !== undefined && { sweepIntervalMs }),
    maxFlows,
    sampling,
    trackLevel,
    nonProcessNames,
  };
}

/** They say where packets of this host are captured. */
function refuseCaptureSettings(settings: ReplaySettings): void {
  const { interface: names, capture, attach, netns, cgroup, trackProcess, user } = settings;
  const given = [
    names[0] === undefined ? undefined : `-i ${names[0]}`,
    capture === 'interface' ? undefined : `--capture ${capture}`,
    netns === undefined ? undefined : `--netns ${netns}`,
    attach === 'auto' ? undefined : `--attach ${attach}`,
    cgroup === undefined ? undefined : `--cgroup ${cgroup}`,
    trackProcess === true ? '--track-process' : undefined,
    user === undefined ? undefined : `--user ${user}`,
  ].find((setting) => setting !== undefined);
  if (given === undefined) return;
  throw new ConfigError(given, 'is for packets of this host, and -r reads a file', 'leave one out');
}
