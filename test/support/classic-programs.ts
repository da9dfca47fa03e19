// Classic BPF in words, for tests: one function an instruction of bpf(4).
import type { ClassicInstruction } from '../../src/bpf-loader/filter/classic-bpf.js';

const SIZE = { word: 0x00, half: 0x08, octet: 0x10 } as const;
type Size = keyof typeof SIZE;

const OPERATION = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  div: 0x30,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  mod: 0x90,
  xor: 0xa0,
} as const;
export type Operation = keyof typeof OPERATION;

const CONDITION = { jeq: 0x10, jgt: 0x20, jge: 0x30, jset: 0x40 } as const;
export type Condition = keyof typeof CONDITION;

function instruction(code: number, k = 0, jt = 0, jf = 0): ClassicInstruction {
  return { code, jt, jf, k: k >>> 0 };
}

/** From the packet at k, and at X + k. */
export const load = (size: Size, k: number) => instruction(0x20 | SIZE[size], k);
export const loadBeyondX = (size: Size, k: number) => instruction(0x40 | SIZE[size], k);
export const setA = (k: number) => instruction(0x00, k);
export const setX = (k: number) => instruction(0x01, k);
export const lengthToA = instruction(0x80);
export const lengthToX = instruction(0x81);
export const memoryToA = (word: number) => instruction(0x60, word);
export const memoryToX = (word: number) => instruction(0x61, word);
/** Four times the low half of the octet at k. */
export const headerLengthToX = (k: number) => instruction(0xb1, k);
export const storeA = (word: number) => instruction(0x02, word);
export const storeX = (word: number) => instruction(0x03, word);
export const computeK = (operation: Operation, k: number) =>
  instruction(0x04 | OPERATION[operation], k);
export const computeX = (operation: Operation) => instruction(0x0c | OPERATION[operation]);
export const negate = instruction(0x84);
export const jump = (distance: number) => instruction(0x05, distance);
/** Passes over so many instructions where it holds, and where not. */
export const jumpK = (condition: Condition, k: number, jt: number, jf: number) =>
  instruction(0x05 | CONDITION[condition], k, jt, jf);
export const jumpX = (condition: Condition, jt: number, jf: number) =>
  instruction(0x0d | CONDITION[condition], 0, jt, jf);
export const returnK = (k: number) => instruction(0x06, k);
export const returnA = instruction(0x16);
export const aToX = instruction(0x07);
export const xToA = instruction(0x87);

/** struct bpf_insn after struct bpf_insn. */
export function classicBytes(program: readonly ClassicInstruction[]): Buffer {
  const bytes = Buffer.alloc(8 * program.length);
  for (const [i, { code, jt, jf, k }] of program.entries()) {
    bytes.writeUInt16LE(code, 8 * i);
    bytes.writeUInt8(jt, 8 * i + 2);
    bytes.writeUInt8(jf, 8 * i + 3);
    bytes.writeUInt32LE(k, 8 * i + 4);
  }
  return bytes;
}
