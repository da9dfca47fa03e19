// How a filter's program reads the packet that it is called with: an skb with a link layer, whose
// VLAN tag the network card may have taken out of the frame, or one that begins with IP. The first
// octets, where most filters look, are copied to the stack at once.
import {
  ALU,
  FP,
  JUMP,
  R0,
  R1,
  R2,
  R3,
  R4,
  R6,
  R9,
  type EbpfAssembler,
  type Label,
  type Operand,
} from './ebpf-assembler.js';

// On the stack, below the frame pointer.
/** Classic BPF's sixteen words. */
export const MEMORY = -64;
/** Octets of the packet on the wire, a tag included. */
export const LENGTH = -76;
const LOADED = -72;
/** Down from where the translation has its own counter (-80). */
const HEADS = -168;
const HEADS_OCTETS = 88;
/** Of the packet: Ethernet, a tag, IPv6, and TCP's flags. */
const HEAD_OCTETS = 80;

const ADDRESSES_OCTETS = 12;
const TAG_OCTETS = 4;
const TAG_END = ADDRESSES_OCTETS + TAG_OCTETS;

/** Offsets in struct __sk_buff. */
const SKB = { len: 0, vlanPresent: 20, vlanTci: 24, vlanProto: 28 } as const;

const SKB_LOAD_BYTES = 26;
const MAX_OFFSET = 0x7fffffff;

interface PacketLoad {
  readonly size: 1 | 2 | 4;
  readonly destination: number;
  /** Where it goes on for a packet that is too short. */
  readonly reject: Label;
}

/** r6 is the skb; r0 to r5 are lost. What is loaded is in network order. */
export interface PacketAccess {
  readonly begin: (out: EbpfAssembler, reject: Label) => void;
  readonly loadAt: (out: EbpfAssembler, offset: number, load: PacketLoad) => void;
  /** At a register's value plus an offset. */
  readonly loadBeyond: (
    out: EbpfAssembler,
    register: number,
    offset: number,
    load: PacketLoad,
  ) => void;
  /**
   * Makes the kernel's verifier forget what values there can be in these registers, which stay as they
   * are: it follows one way where there was one for each range.
   */
  readonly forgetRanges: (out: EbpfAssembler, registers: readonly number[]) => void;
}

/** Copies octets at r2, which is clobbered, to the stack. */
function copyBytes(out: EbpfAssembler, to: number, size: Operand, reject: Label): void {
  out.alu64(ALU.mov, R1, { register: R6 });
  out.alu64(ALU.mov, R3, { register: FP });
  out.alu64(ALU.add, R3, { value: to });
  if (!('register' in size && size.register === R4)) out.alu32(ALU.mov, R4, size);
  out.call(SKB_LOAD_BYTES);
  out.jumpIf64(JUMP.notEqual, R0, { value: 0 }, reject);
}

/** r4 = the skb's octets, at most so many */
function atMost(out: EbpfAssembler, octets: number): void {
  const isLess = out.newLabel();
  out.load(4, R4, R6, SKB.len);
  out.jumpIf64(JUMP.lessOrEqual, R4, { value: octets }, isLess);
  out.alu64(ALU.mov, R4, { value: octets });
  out.place(isLess);
}

/** The kernel takes a signed number; no packet has so many octets. */
function within(offset: number): number {
  return Math.min(offset, MAX_OFFSET);
}

function beginPacket(out: EbpfAssembler): void {
  out.alu64(ALU.mov, R6, { register: R1 });
  out.load(4, R2, R6, SKB.len);
  out.store(4, FP, LENGTH, R2);
  // The kernel lets nothing be read that may not have been written.
  for (let at = 0; at < HEADS_OCTETS; at += 8) out.storeNumber(8, FP, HEADS + at, 0);
}

/** The first octets as they are in the skb. */
function copyHead(out: EbpfAssembler, head: number, reject: Label): void {
  const end = out.newLabel();
  atMost(out, HEAD_OCTETS);
  out.jumpIf64(JUMP.equal, R4, { value: 0 }, end);
  out.alu32(ALU.mov, R2, { value: 0 });
  copyBytes(out, head, { register: R4 }, reject);
  out.place(end);
}

/** The first octets of the frame that the skb's rest was, with the tag in its place. */
function copyTaggedHead(out: EbpfAssembler, head: number, reject: Label): void {
  out.load(4, R2, R6, SKB.len);
  out.alu32(ALU.add, R2, { value: TAG_OCTETS });
  out.store(4, FP, LENGTH, R2);
  out.alu32(ALU.mov, R2, { value: 0 });
  copyBytes(out, head, { value: ADDRESSES_OCTETS }, reject);
  out.load(4, R1, R6, SKB.vlanProto); // in network order
  out.store(2, FP, head + ADDRESSES_OCTETS, R1);
  out.load(4, R1, R6, SKB.vlanTci);
  out.toHostOrder(R1, 16);
  out.store(2, FP, head + ADDRESSES_OCTETS + 2, R1);
  atMost(out, HEAD_OCTETS - TAG_OCTETS);
  out.jumpIf64(JUMP.lessOrEqual, R4, { value: ADDRESSES_OCTETS }, reject);
  out.alu64(ALU.sub, R4, { value: ADDRESSES_OCTETS });
  out.alu32(ALU.mov, R2, { value: ADDRESSES_OCTETS });
  copyBytes(out, head + TAG_END, { register: R4 }, reject);
}

/** The kernel refuses what is not aligned on the stack: that goes octet by octet. */
function loadFromHead(
  out: EbpfAssembler,
  base: number,
  offset: number,
  { size, destination }: Pick<PacketLoad, 'size' | 'destination'>,
): void {
  if (base === FP && offset % size === 0) {
    out.load(size, destination, base, offset);
    return;
  }
  out.load(1, destination, base, offset);
  for (let i = 1; i < size; i++) {
    out.load(1, R0, base, offset + i);
    out.alu32(ALU.lsh, R0, { value: 8 * i });
    out.alu32(ALU.or, destination, { register: R0 });
  }
}

interface Head extends Pick<PacketAccess, 'begin'> {
  /** Where the first octets are: so that the IP header is aligned. */
  readonly at: number;
  /** What octets behind it are farther in the skb. */
  readonly shift: Operand;
}

function accessWith({ at: head, begin, shift }: Head): PacketAccess {
  const loadFromPacket = (out: EbpfAssembler, { size, destination, reject }: PacketLoad): void => {
    out.alu64(ALU.add, R2, shift);
    copyBytes(out, LOADED, { value: size }, reject);
    out.load(size, destination, FP, LOADED);
  };
  return {
    begin,
    forgetRanges: (out, registers) => {
      // Twice with a number that can be any.
      out.load(4, R0, R6, SKB.len);
      for (const register of registers) {
        out.alu32(ALU.xor, register, { register: R0 });
        out.alu32(ALU.xor, register, { register: R0 });
      }
    },
    loadAt: (out, offset, load) => {
      const end = offset + load.size;
      if (end > HEAD_OCTETS) {
        out.alu64(ALU.mov, R2, { value: within(offset) });
        loadFromPacket(out, load);
        return;
      }
      out.load(4, R0, FP, LENGTH);
      out.jumpIf32(JUMP.less, R0, { value: end }, load.reject);
      loadFromHead(out, FP, head + offset, load);
    },
    loadBeyond: (out, register, offset, load) => {
      const end = out.newLabel();
      const beyond = out.newLabel();
      out.alu64(ALU.mov, R2, { register });
      out.alu64(ALU.add, R2, { value: within(offset) });
      out.jumpIf64(JUMP.greater, R2, { value: MAX_OFFSET }, load.reject);
      out.jumpIf64(JUMP.greater, R2, { value: HEAD_OCTETS - load.size }, beyond);
      out.alu64(ALU.mov, R1, { register: R2 });
      out.alu64(ALU.add, R1, { value: load.size });
      out.load(4, R0, FP, LENGTH);
      out.jumpIf64(JUMP.greater, R1, { register: R0 }, load.reject);
      out.alu64(ALU.mov, R1, { register: FP });
      out.alu64(ALU.add, R1, { register: R2 });
      loadFromHead(out, R1, head, load);
      out.jump(end);
      out.place(beyond);
      loadFromPacket(out, load);
      out.place(end);
    },
  };
}

/** For packets that begin with IP, and have no tag. */
export const PACKET_ACCESS = accessWith({
  at: HEADS,
  begin: (out, reject) => {
    beginPacket(out);
    copyHead(out, HEADS, reject);
  },
  shift: { value: 0 },
});

const FRAME_HEAD = HEADS + 2;

/** For frames as the skb has them: the outer tag may be beside them. */
export const FRAME_ACCESS = accessWith({
  at: FRAME_HEAD,
  begin: (out, reject) => {
    beginPacket(out);
    copyHead(out, FRAME_HEAD, reject);
  },
  shift: { value: 0 },
});

/**
 * For frames with the tag in its place, as in a capture: r9 is what octets behind the head are nearer
 * in the skb (-4), or 0.
 */
export const TAGGED_FRAME_ACCESS = accessWith({
  at: FRAME_HEAD,
  begin: (out, reject) => {
    const untagged = out.newLabel();
    const end = out.newLabel();
    beginPacket(out);
    out.alu64(ALU.mov, R9, { value: 0 });
    out.load(4, R1, R6, SKB.vlanPresent);
    out.jumpIf32(JUMP.equal, R1, { value: 0 }, untagged);
    out.alu64(ALU.mov, R9, { value: -TAG_OCTETS });
    copyTaggedHead(out, FRAME_HEAD, reject);
    out.jump(end);
    out.place(untagged);
    copyHead(out, FRAME_HEAD, reject);
    out.place(end);
  },
  shift: { register: R9 },
});
