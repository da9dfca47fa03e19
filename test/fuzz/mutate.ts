// Changes octets as damage and malice do: bits, lengths, ends, pieces of others.
import type { Random } from './random.js';

/** At the edges of what numbers mean. */
const EDGES = [0, 1, 2, 3, 4, 5, 8, 15, 16, 20, 31, 40, 63, 64, 127, 128, 253, 254, 255] as const;
const EDGES_16 = [0, 1, 3, 4, 20, 40, 255, 256, 0x0800, 0x1fff, 0x2000, 0x7fff, 0x8000] as const;
const EDGES_16_TOP = [0x8100, 0x86dd, 0x88a8, 0xfffe, 0xffff] as const;

/** Bytes, and how many of them count; they have room for more. */
export interface Mutable {
  readonly bytes: Buffer;
  length: number;
}

export interface MutateOptions {
  /** From which pieces come. */
  readonly others: readonly Buffer[];
  /** Octets at the beginning that are changed more often: headers. */
  readonly head: number;
  /** The result has no fewer, and no more. */
  readonly least: number;
  readonly most: number;
}

type Change = (target: Mutable, random: Random, options: MutateOptions) => void;

function place({ length }: Mutable, random: Random, { head }: MutateOptions): number {
  return random.below(random.oneIn(4) ? length : Math.min(head, length));
}

const flipBit: Change = (target, random, options) => {
  const at = place(target, random, options);
  target.bytes[at] = (target.bytes[at] ?? 0) ^ (1 << random.below(8));
};

const setOctet: Change = (target, random, options) => {
  const value = random.oneIn(2) ? random.pick(EDGES) : random.below(256);
  target.bytes[place(target, random, options)] = value;
};

const setWord: Change = (target, random, options) => {
  if (target.length < 2) return;
  const at = Math.min(place(target, random, options), target.length - 2);
  const value = random.pick(random.oneIn(2) ? EDGES_16 : EDGES_16_TOP);
  if (random.oneIn(4)) target.bytes.writeUInt16LE(value, at);
  else target.bytes.writeUInt16BE(value, at);
};

/** A length or a count that is a little off. */
const addToWord: Change = (target, random, options) => {
  if (target.length < 2) return;
  const at = Math.min(place(target, random, options), target.length - 2);
  const value = target.bytes.readUInt16BE(at) + random.between(-8, 8);
  target.bytes.writeUInt16BE(value & 0xffff, at);
};

const setLongWord: Change = (target, random, options) => {
  if (target.length < 4) return;
  const at = Math.min(place(target, random, options), target.length - 4);
  const value = random.oneIn(2) ? random.word() : random.pick([0, 1, 2 ** 31, 2 ** 32 - 1]);
  if (random.oneIn(2)) target.bytes.writeUInt32LE(value, at);
  else target.bytes.writeUInt32BE(value, at);
};

const cut: Change = (target, random, { least }) => {
  target.length = random.between(Math.min(least, target.length), target.length);
};

const lengthen: Change = (target, random, { most }) => {
  const octets = Math.min(random.between(1, 64), most - target.length);
  for (let i = 0; i < octets; i++) target.bytes[target.length + i] = random.below(256);
  target.length += Math.max(0, octets);
};

const insert: Change = (target, random, options) => {
  const { length } = target;
  const octets = Math.min(random.pick([1, 2, 4, 8, 20, 40]), options.most - length);
  if (octets <= 0) return;
  const at = place(target, random, options);
  const from = random.below(length);
  target.bytes.copyWithin(at + octets, at, length);
  // What is there already, or what another has in the same place.
  const other = random.pick(options.others);
  if (random.oneIn(2)) other.copy(target.bytes, at, Math.min(at, other.length), at + octets);
  else target.bytes.copyWithin(at, from, Math.min(from + octets, length));
  target.length = length + octets;
};

const remove: Change = (target, random, options) => {
  const octets = Math.min(random.pick([1, 2, 4, 8, 20, 40]), target.length - options.least);
  if (octets <= 0) return;
  const at = Math.min(place(target, random, options), target.length - octets);
  target.bytes.copyWithin(at, at + octets, target.length);
  target.length -= octets;
};

const splice: Change = (target, random, options) => {
  const other = random.pick(options.others);
  const at = place(target, random, options);
  const end = Math.min(other.length, options.most);
  if (at >= end) return;
  other.copy(target.bytes, at, at, end);
  target.length = Math.max(end, options.least);
};

const CHANGES: readonly Change[] = [
  ...[flipBit, flipBit, flipBit, setOctet, setOctet, setOctet, setWord, setWord, addToWord],
  ...[setLongWord, cut, lengthen, insert, remove, splice],
];

/** Begins anew with one of the others and changes it, mostly in few places; seldom in none. */
export function mutate(target: Mutable, random: Random, options: MutateOptions): void {
  const { others, least, most } = options;
  const origin = random.pick(others);
  target.length = Math.min(origin.length, most);
  origin.copy(target.bytes, 0, 0, target.length);
  if (target.length < least) {
    target.bytes.fill(0, target.length, least);
    target.length = least;
  }
  const changes = random.oneIn(16)
    ? 0
    : random.oneIn(8)
      ? random.between(6, 40)
      : random.between(1, 5);
  for (let i = 0; i < changes; i++) random.pick(CHANGES)(target, random, options);
}

/** The same as a buffer of its own. */
export function mutated(random: Random, options: MutateOptions): Buffer {
  const target: Mutable = { bytes: Buffer.alloc(options.most + 64), length: 0 };
  mutate(target, random, options);
  return Buffer.from(target.bytes.subarray(0, target.length));
}
