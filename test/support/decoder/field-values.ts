// What the octets of a field mean, by the abstract data types of RFC 7012 as RFC 7011 §6.1 encodes
// them. All throw a DecodeError: "absent-value" for undefined, "bad-value" for what cannot be.
import { SocketAddress } from 'node:net';
import { DecodeError } from './decode-error.js';
import type { MessageHeader } from './decoded-message.js';

/** A value of DecodedRecord.fields. */
type Value = Buffer | undefined;

const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const NTP_TO_UNIX_SECONDS = 2_208_988_800n;
const NTP_ERA_SECONDS = 1n << 32n;
const UPTIME_WRAP_MS = 2 ** 32;

/** Unsigned integers of 1 to 8 octets, reduced or not (RFC 7011 §6.2), up to 2^53 - 1. */
export function unsigned(value: Value): number {
  const number = Number(unsigned64(value));
  if (!Number.isSafeInteger(number)) throw bad('an integer', 'it is above 2^53 - 1');
  return number;
}

export function unsigned64(value: Value): bigint {
  const octets = present(value);
  if (octets.length === 0 || octets.length > 8) {
    throw bad('an integer', `${octets.length} octets, not 1 to 8`);
  }
  return BigInt(`0x${octets.toString('hex')}`);
}

/** RFC 7011 §6.1.5: 1 is true and 2 is false. */
export function truth(value: Value): boolean {
  const octet = unsigned(value);
  if (octet === 1 || octet === 2) return octet === 1;
  throw bad('a boolean', `${octet} is neither 1 nor 2`);
}

/** UTF-8 (RFC 7011 §6.1.6), without the NULs that fill a fixed length. */
export function text(value: Value): string {
  const octets = present(value);
  try {
    return UTF_8.decode(octets).replace(/\0+$/, '');
  } catch {
    throw bad('a string', 'it is not UTF-8 (RFC 7011 §6.1.6)');
  }
}

/** IPv4 and IPv6 as inet_ntop() writes them, MAC with colons. */
export function addressText(value: Value): string {
  const octets = present(value);
  if (octets.length === 4) return octets.join('.');
  if (octets.length === 6) return groups(octets, 1).join(':');
  if (octets.length !== 16) throw bad('an address', `${octets.length} octets, not 4, 6 or 16`);
  return new SocketAddress({ address: groups(octets, 2).join(':'), family: 'ipv6' }).address;
}

/** dateTimeSeconds and dateTimeMilliseconds, in their unit, since 1970. */
export function unixTime(value: Value): number {
  const octets = present(value).length;
  if (octets !== 4 && octets !== 8) throw bad('a time', `${octets} octets, not 4 or 8`);
  return unsigned(value);
}

/** dateTimeMicroseconds and dateTimeNanoseconds (NTP's format): nanoseconds since 1970, rounded. */
export function ntpTimeNs(value: Value): bigint {
  const octets = present(value);
  if (octets.length !== 8) throw bad('an NTP time', `${octets.length} octets, not 8`);
  const seconds = BigInt(octets.readUInt32BE(0));
  const fraction = BigInt(octets.readUInt32BE(4));
  // What would lie before 1970 lies in the era that begins in 2036.
  const era = seconds < NTP_TO_UNIX_SECONDS ? NTP_ERA_SECONDS : 0n;
  const half = NTP_ERA_SECONDS / 2n;
  const nanoseconds = (fraction * 1_000_000_000n + half) / NTP_ERA_SECONDS;
  return (seconds + era - NTP_TO_UNIX_SECONDS) * 1_000_000_000n + nanoseconds;
}

/** Elements 21 and 22 (v1, v5, v9): a sysUptime as milliseconds since 1970, also across its wrap. */
export function uptimeEpochMs(header: MessageHeader, value: Value): number {
  const { sysUptimeMs, exportTime, exportNanoseconds } = header;
  if (sysUptimeMs === undefined) throw bad('a sysUptime', 'the message has none');
  const past = sysUptimeMs - unsigned(value);
  const age = past < -UPTIME_WRAP_MS / 2 ? past + UPTIME_WRAP_MS : past;
  return exportTime * 1000 + Math.floor(exportNanoseconds / 1e6) - age;
}

function present(value: Value): Buffer {
  if (value !== undefined) return value;
  throw new DecodeError('absent-value', 0, 'read a value', 'the record does not have it');
}

function groups(octets: Buffer, size: number): string[] {
  return octets.toString('hex').match(new RegExp(`.{${2 * size}}`, 'g')) ?? [];
}

function bad(what: string, reason: string): DecodeError {
  return new DecodeError('bad-value', 0, `read ${what}`, reason);
}
