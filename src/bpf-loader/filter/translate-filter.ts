// From classic to extended BPF, one instruction at a time, with the semantics of libpcap's
// bpf_filter(): what tcpdump accepts of a file is what the kernel meters.
import {
  CLASS,
  FROM_X,
  JUMP_CLASSIC,
  LOAD_SIZES,
  MEMORY_WORDS,
  MODE,
  RETURN_A,
  TXA,
  reachableInstructions,
  type ClassicInstruction,
} from './classic-bpf.js';
import {
  ALU,
  EbpfAssembler,
  FP,
  JUMP,
  R1,
  R7,
  R8,
  type AluOperation,
  type JumpOperation,
  type Label,
  type Octets,
  type Operand,
} from './ebpf-assembler.js';
import { LENGTH, MEMORY, type PacketAccess } from './packet-access.js';

/** classic BPF's registers; r6 is the packet (packet-access.ts). */
const A = R7;
const X = R8;

/**
 * Backward jumps follow chains of IPv6 headers ("protochain"), of at least 8 octets each: more than an
 * Ethernet frame of the usual size has room for.
 */
const MAX_BACKWARD_JUMPS = 200;
const JUMPS_TAKEN = -80;

/** What happens to a packet, once that is known. */
export interface FilterEnding {
  /** Emits what ends the program where the filter returns this, which may be 0: a packet that is not wanted. */
  readonly returned: (out: EbpfAssembler, value: Operand) => void;
}

/** An instruction that no filter of libpcap has: its number and code. */
export class UntranslatableError extends Error {
  constructor(index: number, { code }: ClassicInstruction) {
    super(`instruction ${index} (code 0x${code.toString(16)}) is not of a packet filter`);
    this.name = 'UntranslatableError';
  }
}

/**
 * @param program as libpcap's pcap_compile gives it
 * @returns instructions of a program that is called with an skb
 * @throws UntranslatableError, JumpTooFarError
 */
export function translateFilter(
  program: readonly ClassicInstruction[],
  access: PacketAccess,
  ending: FilterEnding,
): Buffer {
  return new Translation(program, access, ending).run();
}

class Translation {
  readonly #program: readonly ClassicInstruction[];
  readonly #access: PacketAccess;
  readonly #ending: FilterEnding;
  readonly #out = new EbpfAssembler();
  readonly #places: readonly Label[];
  readonly #reject: Label;

  constructor(program: readonly ClassicInstruction[], access: PacketAccess, ending: FilterEnding) {
    this.#program = program;
    this.#access = access;
    this.#ending = ending;
    this.#places = program.map(() => this.#out.newLabel());
    this.#reject = this.#out.newLabel();
  }

  run(): Buffer {
    const out = this.#out;
    this.#access.begin(out, this.#reject);
    out.alu32(ALU.mov, A, { value: 0 });
    out.alu32(ALU.mov, X, { value: 0 });
    for (let word = 0; word < MEMORY_WORDS; word += 2) {
      out.storeNumber(8, FP, MEMORY + 4 * word, 0);
    }
    out.storeNumber(4, FP, JUMPS_TAKEN, 0);
    // The kernel refuses instructions that are never reached.
    const reachable = reachableInstructions(this.#program);
    for (const [i, instruction] of this.#program.entries()) {
      if (!reachable.has(i)) continue;
      const place = this.#places[i];
      if (place !== undefined) out.place(place);
      if (!this.#translate(i, instruction)) throw new UntranslatableError(i, instruction);
    }
    if (!out.isUsed(this.#reject)) return out.bytes();
    out.place(this.#reject);
    this.#ending.returned(out, { value: 0 });
    return out.bytes();
  }

  /** @returns whether there is such an instruction */
  #translate(index: number, instruction: ClassicInstruction): boolean {
    const { code, k } = instruction;
    switch (code & 0x07) {
      case CLASS.ld:
        return this.#load(instruction);
      case CLASS.ldx:
        return this.#loadX(instruction);
      case CLASS.st:
        return this.#store(code === CLASS.st, A, k);
      case CLASS.stx:
        return this.#store(code === CLASS.stx, X, k);
      case CLASS.alu:
        return this.#compute(instruction);
      case CLASS.jmp:
        return this.#branch(index, instruction);
      case CLASS.ret:
        if (code !== CLASS.ret && code !== (CLASS.ret | RETURN_A)) return false;
        this.#ending.returned(this.#out, code === CLASS.ret ? { value: k } : { register: A });
        return true;
      default:
        if (code !== CLASS.misc && code !== (CLASS.misc | TXA)) return false;
        if (code === CLASS.misc) this.#out.alu32(ALU.mov, X, { register: A });
        else this.#out.alu32(ALU.mov, A, { register: X });
        return true;
    }
  }

  #load({ code, k }: ClassicInstruction): boolean {
    const size = LOAD_SIZES.get(code & 0x18);
    if (size === undefined) return false;
    const packetLoad = { size, destination: A, reject: this.#reject };
    switch (code & 0xe0) {
      case MODE.absolute:
        this.#access.loadAt(this.#out, k, packetLoad);
        break;
      case MODE.indirect:
        this.#access.loadBeyond(this.#out, X, k, packetLoad);
        break;
      default:
        return size === 4 && this.#loadWord(A, code & 0xe0, k);
    }
    this.#fromNetworkOrder(A, size);
    return true;
  }

  #loadX({ code, k }: ClassicInstruction): boolean {
    const mode = code & 0xe0;
    if ((code & 0x18) === 0 && mode !== MODE.headerLength) return this.#loadWord(X, mode, k);
    if (code !== (CLASS.ldx | 0x10 | MODE.headerLength)) return false;
    this.#access.loadAt(this.#out, k, { size: 1, destination: X, reject: this.#reject });
    this.#out.alu32(ALU.and, X, { value: 0x0f });
    this.#out.alu32(ALU.lsh, X, { value: 2 });
    return true;
  }

  /** What is not in the packet. */
  #loadWord(destination: number, mode: number, k: number): boolean {
    if (mode === MODE.immediate) this.#out.alu32(ALU.mov, destination, { value: k });
    else if (mode === MODE.length) this.#out.load(4, destination, FP, LENGTH);
    else if (mode === MODE.memory && k < MEMORY_WORDS)
      this.#out.load(4, destination, FP, MEMORY + 4 * k);
    else return false;
    return true;
  }

  #fromNetworkOrder(register: number, size: Octets): void {
    if (size === 2 || size === 4) this.#out.toHostOrder(register, size === 2 ? 16 : 32);
  }

  #store(isStore: boolean, source: number, k: number): boolean {
    if (!isStore || k >= MEMORY_WORDS) return false;
    this.#out.store(4, FP, MEMORY + 4 * k, source);
    return true;
  }

  #compute({ code, k }: ClassicInstruction): boolean {
    const out = this.#out;
    const operation = (code & 0xf0) as AluOperation;
    const operand: Operand = code & FROM_X ? { register: X } : { value: k };
    switch (operation) {
      case ALU.neg:
        out.alu32(ALU.neg, A, { value: 0 });
        return true;
      case ALU.div:
      case ALU.mod:
        // A packet for which the filter divides by 0 is not wanted.
        if ('register' in operand) out.jumpIf32(JUMP.equal, X, { value: 0 }, this.#reject);
        else if (k === 0) return false;
        break;
      case ALU.lsh:
      case ALU.rsh:
        this.#shift(operation, operand);
        return true;
      case ALU.add:
      case ALU.sub:
      case ALU.mul:
      case ALU.or:
      case ALU.and:
      case ALU.xor:
        break;
      default:
        return false;
    }
    out.alu32(operation, A, operand);
    return true;
  }

  /** By 32 or more nothing is left; the processor would shift by the low five bits. */
  #shift(operation: AluOperation, operand: Operand): void {
    const out = this.#out;
    if ('value' in operand) {
      if (operand.value < 32) out.alu32(operation, A, operand);
      else out.alu32(ALU.mov, A, { value: 0 });
      return;
    }
    const isLess = out.newLabel();
    const end = out.newLabel();
    out.jumpIf32(JUMP.less, X, { value: 32 }, isLess);
    out.alu32(ALU.mov, A, { value: 0 });
    out.jump(end);
    out.place(isLess);
    out.alu32(operation, A, operand);
    out.place(end);
  }

  #branch(index: number, { code, jt, jf, k }: ClassicInstruction): boolean {
    const operation = (code & 0xf0) as JumpOperation;
    if (operation === JUMP_CLASSIC.always) return this.#jump(index, k | 0);
    if (!Object.values<number>(JUMP_CLASSIC).includes(operation)) return false;
    const [yes, no] = [this.#places[index + 1 + jt], this.#places[index + 1 + jf]];
    if (yes === undefined || no === undefined) return false;
    const operand: Operand = code & FROM_X ? { register: X } : { value: k };
    if (jt !== 0 || jf === 0) {
      this.#out.jumpIf32(operation, A, operand, yes);
      if (jf !== 0) this.#out.jump(no);
      return true;
    }
    const next = yes;
    const opposite = OPPOSITES.get(operation);
    if (opposite !== undefined) this.#out.jumpIf32(opposite, A, operand, no);
    else {
      this.#out.jumpIf32(operation, A, operand, next);
      this.#out.jump(no);
    }
    return true;
  }

  /** The kernel must see that a loop ends. */
  #jump(index: number, distance: number): boolean {
    const out = this.#out;
    const place = this.#places[index + 1 + distance];
    if (place === undefined) return false;
    if (distance < 0) {
      out.load(4, R1, FP, JUMPS_TAKEN);
      out.alu32(ALU.add, R1, { value: 1 });
      out.store(4, FP, JUMPS_TAKEN, R1);
      out.jumpIf32(JUMP.greater, R1, { value: MAX_BACKWARD_JUMPS }, this.#reject);
      this.#access.forgetRanges(out, [A, X]);
    }
    out.jump(place);
    return true;
  }
}

const OPPOSITES: ReadonlyMap<JumpOperation, JumpOperation> = new Map([
  [JUMP.equal, JUMP.notEqual],
  [JUMP.greater, JUMP.lessOrEqual],
  [JUMP.greaterOrEqual, JUMP.less],
]);
