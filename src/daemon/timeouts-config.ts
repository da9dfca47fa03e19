// When flows expire: from the words of a command line, softflowd's names among them.
import type { FlowTimeouts } from '../flow/flow-timeouts.js';
import { ConfigError, alternatives } from './config-error.js';
import { readDurationMs } from './quantities.js';

export interface TimeoutSettings {
  readonly activeTimeout: string;
  readonly idleTimeout: string;
  /** "name=time", later ones win. */
  readonly timeout?: readonly string[] | undefined;
}

export interface TimeoutConfig {
  readonly timeouts: FlowTimeouts;
  /** How often flows are looked at; undefined: as the timeouts suggest. */
  readonly sweepIntervalMs?: number;
}

/** How often flows are looked at, in softflowd's words. */
const EXPIRY_INTERVAL = 'expint';
export const TIMEOUT_NAMES = [
  ...['general', 'tcp', 'tcp.rst', 'tcp.fin', 'udp', 'icmp', 'maxlife'],
  EXPIRY_INTERVAL,
] as const;

const MAX_TIMEOUT_S = 365 * 24 * 3600;
const MIN_TIMEOUT_S = 0.1;
/** After a FIN or RST a TCP flow waits this long for the packets that close the connection. */
const ENDED_TIMEOUT_MS = 1000;

/** @throws ConfigError */
export function readTimeouts(settings: TimeoutSettings): TimeoutConfig {
  const idle = readTimeoutMs('--idle-timeout', settings.idleTimeout);
  const ended = Math.min(ENDED_TIMEOUT_MS, idle);
  const given = readNamed(settings.timeout ?? []);
  const named = (name: keyof FlowTimeouts, otherwise: number): number => {
    const value = given.get(name);
    // As softflowd has it: without a timeout of its own a flow goes by the next wider one.
    return value === undefined || value === 0 ? otherwise : value;
  };
  const general = given.get('general') ?? idle;
  const usual = (name: keyof FlowTimeouts, value: number): number =>
    given.get(name) === 0 ? general : value;
  const tcp = named('tcp', usual('tcp', idle));
  const maxlife = given.get('maxlife') ?? readTimeoutMs('--active-timeout', settings.activeTimeout);
  const interval = given.get(EXPIRY_INTERVAL);
  return {
    timeouts: {
      maxlife: maxlife === 0 ? Infinity : maxlife,
      general,
      tcp,
      'tcp.rst': named('tcp.rst', given.get('tcp.rst') === 0 ? tcp : ended),
      'tcp.fin': named('tcp.fin', given.get('tcp.fin') === 0 ? tcp : ended),
      udp: named('udp', usual('udp', idle)),
      icmp: named('icmp', usual('icmp', idle)),
    },
    ...(interval !== undefined && interval > 0 && { sweepIntervalMs: interval }),
  };
}

function readNamed(settings: readonly string[]): ReadonlyMap<string, number> {
  const given = new Map<string, number>();
  for (const setting of settings) {
    const [name, time] = split(setting);
    if (!TIMEOUT_NAMES.some((known) => known === name)) {
      const advice = `give ${alternatives(TIMEOUT_NAMES)}, each as name=time`;
      throw new ConfigError(`-t ${setting}`, `there is no timeout "${name}"`, advice);
    }
    if (time === undefined) {
      throw new ConfigError(
        `-t ${setting}`,
        'has no time',
        `give ${name}=time, such as ${name}=10m`,
      );
    }
    // It is what the others fall back on.
    const minS = name === 'general' ? MIN_TIMEOUT_S : 0;
    given.set(name, readDurationMs(`-t ${setting}`, time, minS, MAX_TIMEOUT_S));
  }
  return given;
}

function split(setting: string): readonly [string, string?] {
  const at = setting.indexOf('=');
  return at === -1 ? [setting] : [setting.slice(0, at), setting.slice(at + 1)];
}

function readTimeoutMs(option: string, text: string): number {
  return readDurationMs(`${option} ${text}`, text, MIN_TIMEOUT_S, MAX_TIMEOUT_S);
}
