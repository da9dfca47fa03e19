// The kernel's counters of loads that were replaced because their maps are laid out in another way: carried
// over by name, so that what collectors are told only grows.
import { closeSync } from 'node:fs';
import { METER_COUNTER } from '../../flow/flow-contract.gen.js';
import { readBtf } from '../btf.js';
import type { Libbpf } from '../native/libbpf.js';
import { readMapInfo } from './object-info.js';
import { kernelError, pin, withPin } from './pins.js';

/** By the names that this version knows. */
export type CounterValues = ReadonlyMap<string, bigint>;

const COUNTER_OCTETS = 8;
/** Before the counters: the number of the last load of which they tell. */
const HEADER_OCTETS = 8;
const ARRAY = 2;
const NAMES = Object.keys(METER_COUNTER).filter((name) => name !== 'METER_COUNTERS');
const KEY = Buffer.alloc(4);

/** @throws BpfError */
export function pinFormerCounters(libbpf: Libbpf, path: string): void {
  const octets = HEADER_OCTETS + NAMES.length * COUNTER_OCTETS;
  const fd = libbpf.createMap(ARRAY, 'former_counters', 4, octets, 1, null);
  if (fd < 0) throw kernelError(-fd, 'make a map for former counters');
  try {
    pin(libbpf, fd, path);
  } finally {
    closeSync(fd);
  }
}

export interface FormerCounters {
  /** Up to this load. */
  readonly through: number;
  readonly values: CounterValues;
}

/**
 * @param names of the counters in that map, in order
 * @throws BpfError
 */
export function readFormerCounters(
  libbpf: Libbpf,
  path: string,
  names: readonly string[] = NAMES,
): FormerCounters {
  return withPin(libbpf, path, (fd) => {
    const bytes = Buffer.alloc(readMapInfo(libbpf, fd).valueOctets);
    const result = libbpf.lookup(fd, KEY, bytes);
    if (result < 0) throw kernelError(-result, 'read former counters');
    const values = names.map((name, i): [string, bigint] => [
      name,
      bytes.readBigUInt64LE(HEADER_OCTETS + i * COUNTER_OCTETS),
    ]);
    return { through: Number(bytes.readBigUInt64LE(0)), values: new Map(values) };
  });
}

/** @throws BpfError */
export function writeFormerCounters(
  libbpf: Libbpf,
  path: string,
  { through, values }: FormerCounters,
): void {
  const bytes = Buffer.alloc(HEADER_OCTETS + NAMES.length * COUNTER_OCTETS);
  bytes.writeBigUInt64LE(BigInt(through), 0);
  for (const [i, name] of NAMES.entries()) {
    bytes.writeBigUInt64LE(values.get(name) ?? 0n, HEADER_OCTETS + i * COUNTER_OCTETS);
  }
  withPin(libbpf, path, (fd) => {
    const result = libbpf.update(fd, KEY, bytes, 0);
    if (result < 0) throw kernelError(-result, 'write former counters');
  });
}

/** The names of another version's counters, in order. */
export function counterNames(btf: Buffer): string[] {
  const slots = Object.entries(readBtf(btf).enums.get('meter_counter') ?? {});
  return slots
    .filter(([name]) => name !== 'METER_COUNTERS')
    .sort(([, a], [, b]) => a - b)
    .map(([name]) => name);
}

/** Of a load, summed over the CPUs. @throws BpfError */
export function readLoadCounters(
  libbpf: Libbpf,
  path: string,
  names: readonly string[],
): CounterValues {
  return withPin(libbpf, path, (fd) => {
    const stride = readMapInfo(libbpf, fd).valueOctets;
    const bytes = Buffer.alloc(stride * libbpf.possibleCpus());
    const result = libbpf.lookup(fd, KEY, bytes);
    if (result < 0) throw kernelError(-result, `read ${path}`);
    const values = names.map((name, i): [string, bigint] => {
      let sum = 0n;
      for (let at = i * COUNTER_OCTETS; at < bytes.length; at += stride) {
        sum += bytes.readBigUInt64LE(at);
      }
      return [name, sum];
    });
    return new Map(values);
  });
}

export function sumCounters(a: CounterValues, b: CounterValues): CounterValues {
  const names = new Set([...a.keys(), ...b.keys()]);
  return new Map([...names].map((name) => [name, (a.get(name) ?? 0n) + (b.get(name) ?? 0n)]));
}
