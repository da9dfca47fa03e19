// A packet filter in classic BPF, as libpcap compiles it: struct bpf_insn of bpf(4).

export interface ClassicInstruction {
  readonly code: number;
  /** Instructions to pass over where a condition holds, and where not. */
  readonly jt: number;
  readonly jf: number;
  /** Unsigned. */
  readonly k: number;
}

export const CLASSIC_INSTRUCTION_OCTETS = 8;

/** The three low bits of a code. */
export const CLASS = { ld: 0, ldx: 1, st: 2, stx: 3, alu: 4, jmp: 5, ret: 6, misc: 7 } as const;

/** Where a load finds its value. */
export const MODE = {
  immediate: 0x00,
  absolute: 0x20,
  indirect: 0x40,
  memory: 0x60,
  length: 0x80,
  /** Four times the low four bits of an octet: the length of an IPv4 header. */
  headerLength: 0xa0,
} as const;

export const FROM_X = 0x08;
/** Of a return: the accumulator. */
export const RETURN_A = 0x10;
export const TXA = 0x80;
export const MEMORY_WORDS = 16;

/** Octets that a load takes. */
export const LOAD_SIZES: ReadonlyMap<number, 1 | 2 | 4> = new Map([
  [0x00, 4],
  [0x08, 2],
  [0x10, 1],
]);

export const JUMP_CLASSIC = {
  always: 0x00,
  equal: 0x10,
  greater: 0x20,
  greaterOrEqual: 0x30,
  bitsSet: 0x40,
} as const;

/** Those that a packet can come to, by their index. */
export function reachableInstructions(program: readonly ClassicInstruction[]): ReadonlySet<number> {
  const reached = new Set<number>();
  const waiting = [0];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const instruction = program[at];
    if (instruction === undefined || reached.has(at)) continue;
    reached.add(at);
    const { code, jt, jf, k } = instruction;
    const next = at + 1;
    if ((code & 0x07) === CLASS.ret) continue;
    if ((code & 0x07) !== CLASS.jmp) waiting.push(next);
    else if ((code & 0xf0) === JUMP_CLASSIC.always) waiting.push(next + (k | 0));
    else waiting.push(next + jt, next + jf);
  }
  return reached;
}

/** @param bytes whole instructions */
export function readClassicProgram(bytes: Buffer): readonly ClassicInstruction[] {
  const program: ClassicInstruction[] = [];
  for (let at = 0; at < bytes.length; at += CLASSIC_INSTRUCTION_OCTETS) {
    program.push({
      code: bytes.readUInt16LE(at),
      jt: bytes.readUInt8(at + 2),
      jf: bytes.readUInt8(at + 3),
      k: bytes.readUInt32LE(at + 4),
    });
  }
  return program;
}
