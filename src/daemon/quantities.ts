// Numbers with units out of the words of a command line.
import { ConfigError } from './config-error.js';

/** softflowd's: numbers with units, which are added together. */
const DURATION = /^(?:\d+[smhdw])*(?:\d+[smhdw]?)$/i;
const UNIT_SECONDS: Readonly<Record<string, number>> = {
  '': 1,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
};
const OCTETS = /^(\d{1,12})([KMG]?)$/i;
const OCTET_FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
};

/**
 * Seconds ("15", "2.5") or softflowd's form ("10m", "1h30m", "2D"), in milliseconds.
 * @throws ConfigError
 */
export function readDurationMs(setting: string, text: string, minS: number, maxS: number): number {
  const seconds = /^\d+(\.\d+)?$|^\.\d+$/.test(text) ? Number(text) : unitSeconds(text);
  if (!(seconds >= minS && seconds <= maxS)) {
    const reason = Number.isNaN(seconds) ? 'is not a number of seconds' : 'is out of range';
    const advice = `give seconds from ${minS} to ${maxS}, such as 15, 2.5 or 1h30m`;
    throw new ConfigError(setting, reason, advice);
  }
  return Math.round(seconds * 1000);
}

function unitSeconds(text: string): number {
  if (!DURATION.test(text)) return NaN;
  const parts = text.matchAll(/(\d+)([a-z]?)/gi);
  return [...parts].reduce((sum, [, digits = '', unit = '']) => {
    return sum + Number(digits) * (UNIT_SECONDS[unit.toLowerCase()] ?? NaN);
  }, 0);
}

/** @throws ConfigError */
export function readInteger(setting: string, text: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    const reason = Number.isNaN(value) ? 'is not a whole number' : 'is out of range';
    throw new ConfigError(setting, reason, `give one from ${min} to ${max}`);
  }
  return value;
}

/**
 * "1500", "64K", "64M", "1G": binary multiples.
 * @throws ConfigError
 */
export function readOctets(setting: string, text: string, min: number, max: number): number {
  const [, digits = '', unit = ''] = OCTETS.exec(text) ?? [];
  const octets = digits === '' ? NaN : Number(digits) * (OCTET_FACTORS[unit.toUpperCase()] ?? NaN);
  if (!(octets >= min && octets <= max)) {
    const reason = Number.isNaN(octets) ? 'is not a number of octets' : 'is out of range';
    const advice = `give octets from ${min} to ${max}, such as 1500, 64K or 16M`;
    throw new ConfigError(setting, reason, advice);
  }
  return octets;
}

/** @throws ConfigError */
export function readSwitch(setting: string, text: string): boolean {
  if (text === '' || text === 'yes') return true;
  if (text === 'no') return false;
  throw new ConfigError(setting, 'is neither yes nor no', 'give yes or no');
}
