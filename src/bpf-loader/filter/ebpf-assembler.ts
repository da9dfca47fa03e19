// Instructions of extended BPF (RFC 9669) with labels, as octets for the kernel.

export const R0 = 0;
export const R1 = 1;
export const R2 = 2;
export const R3 = 3;
export const R4 = 4;
export const R6 = 6;
export const R7 = 7;
export const R8 = 8;
export const R9 = 9;
/** The frame pointer: the stack is below it. */
export const FP = 10;

/** Classes and modifiers of opcodes. */
const LD_IMM64 = 0x18;
const LDX = 0x61;
const ST = 0x62;
const STX = 0x63;
const ALU32 = 0x04;
const ALU64 = 0x07;
const JMP = 0x05;
const JMP32 = 0x06;
const FROM_REGISTER = 0x08;
const TO_BIG_ENDIAN = 0xdc;
const CALL = 0x85;
const EXIT = 0x95;
const PSEUDO_MAP_FD = 1;

const SIZE_BITS = { 4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18 } as const;
export type Octets = keyof typeof SIZE_BITS;

/** Arithmetic; the same numbers in classic BPF. */
export const ALU = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  div: 0x30,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  neg: 0x80,
  mod: 0x90,
  xor: 0xa0,
  mov: 0xb0,
} as const;
export type AluOperation = (typeof ALU)[keyof typeof ALU];

/** Jumps; the comparisons are unsigned. */
export const JUMP = {
  always: 0x00,
  equal: 0x10,
  greater: 0x20,
  greaterOrEqual: 0x30,
  bitsSet: 0x40,
  notEqual: 0x50,
  less: 0xa0,
  lessOrEqual: 0xb0,
} as const;
export type JumpOperation = (typeof JUMP)[keyof typeof JUMP];

/** A number or a register. */
export type Operand = { readonly value: number } | { readonly register: number };

/** A place in the program. */
export interface Label {
  readonly index: number;
}

interface Instruction {
  readonly opcode: number;
  readonly registers: number;
  offset: number;
  readonly immediate: number;
}

const INSTRUCTION_OCTETS = 8;
const MAX_JUMP = 0x7fff;

/** A jump does not reach its label: the program is too long. */
export class JumpTooFarError extends Error {
  constructor() {
    super(`a jump over more than ${MAX_JUMP} instructions`);
    this.name = 'JumpTooFarError';
  }
}

export class EbpfAssembler {
  readonly #instructions: Instruction[] = [];
  readonly #places: (number | undefined)[] = [];
  readonly #jumps: { readonly at: number; readonly label: number }[] = [];

  newLabel(): Label {
    this.#places.push(undefined);
    return { index: this.#places.length - 1 };
  }

  isUsed(label: Label): boolean {
    return this.#jumps.some((jump) => jump.label === label.index);
  }

  /** The label stands for the next instruction. */
  place(label: Label): void {
    this.#places[label.index] = this.#instructions.length;
  }

  /** 32 bits; the upper half of the register becomes 0. */
  alu32(operation: AluOperation, destination: number, operand: Operand): void {
    this.#withOperand(ALU32 | operation, destination, operand);
  }

  alu64(operation: AluOperation, destination: number, operand: Operand): void {
    this.#withOperand(ALU64 | operation, destination, operand);
  }

  /** From network order. */
  toHostOrder(register: number, bits: 16 | 32): void {
    this.#emit(TO_BIG_ENDIAN, register, 0, 0, bits);
  }

  load(size: Octets, destination: number, base: number, offset: number): void {
    this.#emit(LDX | SIZE_BITS[size], destination, base, offset, 0);
  }

  store(size: Octets, base: number, offset: number, source: number): void {
    this.#emit(STX | SIZE_BITS[size], base, source, offset, 0);
  }

  storeNumber(size: Octets, base: number, offset: number, value: number): void {
    this.#emit(ST | SIZE_BITS[size], base, 0, offset, value);
  }

  loadMap(destination: number, mapFd: number): void {
    this.#emit(LD_IMM64, destination, PSEUDO_MAP_FD, 0, mapFd);
    this.#emit(0, 0, 0, 0, 0);
  }

  jump(label: Label): void {
    this.#jumpTo(label, JMP | JUMP.always, 0, { value: 0 });
  }

  jumpIf32(operation: JumpOperation, register: number, operand: Operand, label: Label): void {
    this.#jumpTo(label, JMP32 | operation, register, operand);
  }

  jumpIf64(operation: JumpOperation, register: number, operand: Operand, label: Label): void {
    this.#jumpTo(label, JMP | operation, register, operand);
  }

  call(helper: number): void {
    this.#emit(CALL, 0, 0, 0, helper);
  }

  exit(): void {
    this.#emit(EXIT, 0, 0, 0, 0);
  }

  /** @throws JumpTooFarError */
  bytes(): Buffer {
    for (const { at, label } of this.#jumps) {
      const place = this.#places[label];
      const instruction = this.#instructions[at];
      if (place === undefined || instruction === undefined) throw new Error('a label has no place');
      instruction.offset = place - at - 1;
      if (Math.abs(instruction.offset) > MAX_JUMP) throw new JumpTooFarError();
    }
    const bytes = Buffer.alloc(this.#instructions.length * INSTRUCTION_OCTETS);
    for (const [i, { opcode, registers, offset, immediate }] of this.#instructions.entries()) {
      const at = i * INSTRUCTION_OCTETS;
      bytes.writeUInt8(opcode, at);
      bytes.writeUInt8(registers, at + 1);
      bytes.writeInt16LE(offset, at + 2);
      bytes.writeInt32LE(immediate | 0, at + 4);
    }
    return bytes;
  }

  #withOperand(opcode: number, destination: number, operand: Operand): void {
    if ('register' in operand)
      this.#emit(opcode | FROM_REGISTER, destination, operand.register, 0, 0);
    else this.#emit(opcode, destination, 0, 0, operand.value);
  }

  #jumpTo(label: Label, opcode: number, register: number, operand: Operand): void {
    this.#jumps.push({ at: this.#instructions.length, label: label.index });
    this.#withOperand(opcode, register, operand);
  }

  #emit(
    opcode: number,
    destination: number,
    source: number,
    offset: number,
    immediate: number,
  ): void {
    this.#instructions.push({
      opcode,
      registers: destination | (source << 4),
      offset,
      immediate,
    });
  }
}
