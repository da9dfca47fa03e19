// What a load of the programs leaves behind for the next one to know it by: a map whose one value says how
// all others are laid out, and the types of the object.
import { closeSync } from 'node:fs';
import { METER_SETTINGS } from '../../flow/flow-contract.gen.js';
import { readTypeWords } from '../btf.js';
import { contractText } from '../contract-check.js';
import type { Libbpf, MapPointer, ObjectPointer } from '../native/libbpf.js';
import { readMapInfo } from './object-info.js';
import { kernelError, pin, withPin } from './pins.js';

/** Equal where the maps of one load can be used by the programs of the other. */
export interface LoadDescription {
  /** Of each map that outlives a load, and of what goes through them. */
  readonly layout: Readonly<Record<string, string>>;
  /** struct meter_settings, in hexadecimal: flows that were told apart by others are not these. */
  readonly settings: string;
}

/**
 * Maps that each load has for itself: constants, the programs that it calls, what is in use only while a
 * program runs or a sweep is made.
 */
const OWN_MAPS: ReadonlySet<string> = new Set([
  ...['long_way', 'meterings', 'exec_scratch', 'expiry_settings'],
]);

export function outlivesLoad(mapName: string): boolean {
  return !OWN_MAPS.has(mapName) && !mapName.includes('.');
}

/** Of an object that is open, with the sizes that its maps will have. */
export function describeLoad(
  libbpf: Libbpf,
  object: ObjectPointer,
  settings: Buffer,
): LoadDescription {
  const words = readTypeWords(libbpf.btfBytes(object));
  const layout: Record<string, string> = { contract: contractText() };
  let map: MapPointer | null = libbpf.nextMap(object, null);
  for (; map !== null; map = libbpf.nextMap(object, map)) {
    const name = libbpf.mapName(map);
    if (!outlivesLoad(name)) continue;
    const numbers = [
      libbpf.mapType(map),
      libbpf.keyOctets(map),
      libbpf.valueOctets(map),
      libbpf.maxEntries(map),
      libbpf.mapFlags(map),
    ];
    const types = [libbpf.mapKeyType(map), libbpf.mapValueType(map)].map(words);
    layout[name] = [...numbers, ...types].join(' ');
  }
  return { layout, settings: settings.toString('hex') };
}

/** Settings that are random, and that the next load takes over from the one before. */
export function withSeedOf(settings: Buffer, former: string): Buffer {
  const { offset, size } = METER_SETTINGS.fields.hash_seed;
  const merged = Buffer.from(settings);
  const before = Buffer.from(former, 'hex');
  if (before.length === settings.length) before.copy(merged, offset, offset, offset + size);
  return merged;
}

export function isSameLoad(a: LoadDescription, b: LoadDescription): boolean {
  const text = ({ layout, settings }: LoadDescription): string =>
    JSON.stringify([Object.entries(layout).sort(([x], [y]) => (x < y ? -1 : 1)), settings]);
  return text(a) === text(b);
}

const ARRAY = 2;

/** @throws BpfError */
export function pinBytes(libbpf: Libbpf, bytes: Buffer, name: string, path: string): void {
  const fd = libbpf.createMap(ARRAY, name, 4, bytes.length, 1, null);
  if (fd < 0) throw kernelError(-fd, `make the map ${name}`);
  try {
    const result = libbpf.update(fd, Buffer.alloc(4), bytes, 0);
    if (result < 0) throw kernelError(-result, `write the map ${name}`);
    pin(libbpf, fd, path);
  } finally {
    closeSync(fd);
  }
}

/** @throws BpfError */
export function readPinnedBytes(libbpf: Libbpf, path: string): Buffer {
  return withPin(libbpf, path, (fd) => {
    const bytes = Buffer.alloc(readMapInfo(libbpf, fd).valueOctets);
    const result = libbpf.lookup(fd, Buffer.alloc(4), bytes);
    if (result < 0) throw kernelError(-result, `read ${path}`);
    return bytes;
  });
}

/** @throws BpfError */
export function readDescription(libbpf: Libbpf, path: string): LoadDescription {
  return JSON.parse(readPinnedBytes(libbpf, path).toString()) as LoadDescription;
}
