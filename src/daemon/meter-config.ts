// What a metering session is told to do: from the words of a command line to checked values.
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { Sampling } from '../flow/sampling.js';
import { TRACK_LEVELS, type TrackLevel } from '../flow/track-level.js';
import { readCapture, type CaptureConfig, type CaptureSettings } from './capture-config.js';
import { ConfigError, alternatives } from './config-error.js';
import { readInteger } from './quantities.js';
import { readStatePath } from './state-path.js';
import { readSampling } from './sampling-config.js';
import { readTimeouts, type TimeoutConfig, type TimeoutSettings } from './timeouts-config.js';
import { readUser, type ProcessUser } from './user-config.js';

export type MeterConfig = MeterLimits & CaptureConfig;

interface MeterLimits extends TimeoutConfig {
  readonly maxFlows: number;
  readonly sampling: Sampling;
  readonly trackLevel: TrackLevel;
  readonly trackProcess: boolean;
  readonly cgroup?: string;
  /** Directory below a BPF file system, where what is metered outlives the process. */
  readonly state?: string;
  readonly nonProcessNames: NonProcessNames;
  /** pcap-filter(7): only packets that match are metered. */
  readonly filter?: string;
  /** Who it is after the set-up; undefined: who it was before. */
  readonly user?: ProcessUser;
}

/** The settings of a meter as text. */
export interface MeterSettings extends CaptureSettings, TimeoutSettings {
  readonly maxFlows: string;
  readonly sampling: string;
  readonly track: string;
  readonly trackProcess?: boolean | undefined;
  readonly attach: string;
  readonly kernelName: string;
  readonly forwardedName: string;
  readonly unknownName: string;
  readonly netns?: string | undefined;
  readonly cgroup?: string | undefined;
  readonly state?: string | undefined;
  readonly user?: string | undefined;
  /** Words of one expression. */
  readonly filter?: readonly string[];
}

/** Of --max-flows. */
export const MAX_FLOWS = 2 ** 24;
/** softflowd's "full" without the type of service, which tells no flows apart here. */
const PORTS = 'port';

/** As many as a process name has: v9 exports it in 16 with a NUL at the end. */
const MAX_NAME_OCTETS = 15;
/** What the exporter or the terminal would replace: controls, format characters, quote, backslash. */
const UNFIT_FOR_NAMES = /[\p{C}\p{Zl}\p{Zp}"\\]/u;

/** @throws ConfigError */
export function readMeterConfig(settings: MeterSettings): MeterConfig {
  const { cgroup, state, filter = [] } = settings;
  if (cgroup !== undefined && !cgroup.startsWith('/')) {
    const advice = 'give the path of a cgroup v2 directory, such as /sys/fs/cgroup/system.slice';
    throw new ConfigError(`--cgroup ${cgroup}`, 'is not an absolute path', advice);
  }
  return {
    ...readCapture(settings),
    ...readTimeouts(settings),
    maxFlows: readInteger(`--max-flows ${settings.maxFlows}`, settings.maxFlows, 1, MAX_FLOWS),
    sampling: readSampling(settings.sampling),
    trackLevel: readTrackLevel(settings),
    trackProcess: settings.trackProcess ?? false,
    nonProcessNames: {
      kernel: readName('--kernel-name', settings.kernelName),
      forwarded: readName('--forwarded-name', settings.forwardedName),
      unknown: readName('--unknown-name', settings.unknownName),
    },
    ...(cgroup !== undefined && { cgroup }),
    ...(state !== undefined && { state: readStatePath(state) }),
    ...(filter.length > 0 && { filter: filter.join(' ') }),
    ...(settings.user !== undefined && { user: readUserOf(settings.user, settings) }),
  };
}

function readUserOf(text: string, { netns, state }: MeterSettings): ProcessUser {
  if (state !== undefined) {
    const reason = 'what is kept in the kernel belongs to who has made it, and that is root';
    const advice =
      'leave one out, or start it as that user, with capabilities; the README says which';
    throw new ConfigError(`--user ${text} --state ${state}`, reason, advice);
  }
  if (netns === undefined) return readUser(text);
  const reason = 'entering a network namespace takes CAP_SYS_ADMIN as long as it is metered';
  const advice = `leave --user out, or start it in there: ip netns exec ${netns} procflow ...`;
  throw new ConfigError(`--user ${text}`, reason, advice);
}

function readTrackLevel({ track, capture }: MeterSettings): TrackLevel {
  const word = track.toLowerCase();
  const level = TRACK_LEVELS.find((known) => known === (word === PORTS ? 'full' : word));
  if (level === undefined) {
    const advice = `give ${alternatives(TRACK_LEVELS)}`;
    throw new ConfigError(`--track ${track}`, 'there is no such level', advice);
  }
  if (capture === 'sockets' && (level === 'ether' || level === 'vlan')) {
    const reason = 'packets have no link layer at sockets';
    throw new ConfigError(`--track ${track}`, reason, 'use --capture interface');
  }
  return level;
}

/** What is exported as process name where there is no process; may be empty. */
function readName(option: string, text: string): string {
  const advice = `give up to ${MAX_NAME_OCTETS} octets, such as "(none)"; "" exports no name`;
  if (UNFIT_FOR_NAMES.test(text)) {
    throw new ConfigError(option, 'has a quote, a backslash or a control character', advice);
  }
  if (Buffer.byteLength(text) > MAX_NAME_OCTETS) {
    throw new ConfigError(`${option} ${text}`, `has more than ${MAX_NAME_OCTETS} octets`, advice);
  }
  return text;
}
