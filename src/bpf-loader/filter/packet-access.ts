// How a filter's program reads the packet that it is called with: an skb with a link layer, whose
// VLAN tag the network card may have taken out of the frame, or one that begins with IP.
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
} from './ebpf-assembler.js';

// On the stack, below the frame pointer.
/** Classic BPF's sixteen words. */
export const MEMORY = -64;
/** Octets of the packet on the wire. */
export const LENGTH = -112;
const LOADED = -72;
/** A tagged frame's first octets, with the tag; the last four are no more than there may be to load. */
const HEAD = -104;
const HEAD_OCTETS = 20;

const ADDRESSES_OCTETS = 12;
const TAG_OCTETS = 4;
/** Loads that begin before this may touch the tag. */
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
}

/** Copies octets at r2, which is clobbered, to the stack; zeros where there are not so many. r0 says it. */
function tryToCopy(out: EbpfAssembler, to: number, size: number): void {
  out.alu64(ALU.mov, R1, { register: R6 });
  out.alu64(ALU.mov, R3, { register: FP });
  out.alu64(ALU.add, R3, { value: to });
  out.alu32(ALU.mov, R4, { value: size });
  out.call(SKB_LOAD_BYTES);
}

function copyBytes(out: EbpfAssembler, to: number, size: number, reject: Label): void {
  tryToCopy(out, to, size);
  out.jumpIf64(JUMP.notEqual, R0, { value: 0 }, reject);
}

/** What follows the tag in the head: four octets, or as many as there are. */
function copyBehindTag(out: EbpfAssembler, reject: Label): void {
  const end = out.newLabel();
  out.alu32(ALU.mov, R2, { value: ADDRESSES_OCTETS });
  tryToCopy(out, HEAD + TAG_END, HEAD_OCTETS - TAG_END);
  out.jumpIf64(JUMP.equal, R0, { value: 0 }, end);
  out.alu32(ALU.mov, R2, { value: ADDRESSES_OCTETS });
  copyBytes(out, HEAD + TAG_END, 2, reject);
  out.alu32(ALU.mov, R2, { value: ADDRESSES_OCTETS + 2 });
  tryToCopy(out, HEAD + TAG_END + 2, 1);
  out.place(end);
}

function loadFromPacket(out: EbpfAssembler, { size, destination, reject }: PacketLoad): void {
  copyBytes(out, LOADED, size, reject);
  out.load(size, destination, FP, LOADED);
}

/** Octet by octet: the kernel refuses what is not aligned on the stack. */
function loadFromHead(
  out: EbpfAssembler,
  base: number,
  offset: number,
  { size, destination }: PacketLoad,
): void {
  out.load(1, destination, base, HEAD + offset);
  for (let i = 1; i < size; i++) {
    out.load(1, R0, base, HEAD + offset + i);
    out.alu32(ALU.lsh, R0, { value: 8 * i });
    out.alu32(ALU.or, destination, { register: R0 });
  }
}

/** The kernel takes a signed number; no packet has so many octets. */
function within(offset: number): number {
  return Math.min(offset, MAX_OFFSET);
}

/** r2 = register + offset */
function addOffset(out: EbpfAssembler, register: number, offset: number, reject: Label): void {
  out.alu64(ALU.mov, R2, { register });
  out.alu64(ALU.add, R2, { value: within(offset) });
  out.jumpIf64(JUMP.greater, R2, { value: MAX_OFFSET }, reject);
}

/** For packets that begin with IP, and have no tag. */
export const PACKET_ACCESS: PacketAccess = {
  begin: (out) => {
    out.alu64(ALU.mov, R6, { register: R1 });
    out.load(4, R2, R6, SKB.len);
    out.store(4, FP, LENGTH, R2);
  },
  loadAt: (out, offset, load) => {
    out.alu32(ALU.mov, R2, { value: within(offset) });
    loadFromPacket(out, load);
  },
  loadBeyond: (out, register, offset, load) => {
    addOffset(out, register, offset, load.reject);
    loadFromPacket(out, load);
  },
};

/**
 * For frames. A filter sees the tag in its place, as in a capture: r9 is what octets behind it are
 * nearer in the skb (-4), or 0, and what may touch the tag is read from the head on the stack.
 */
export const FRAME_ACCESS: PacketAccess = {
  begin: (out, reject) => {
    const untagged = out.newLabel();
    PACKET_ACCESS.begin(out, reject);
    out.alu64(ALU.mov, R9, { value: 0 });
    for (let at = 0; at < 24; at += 8) out.storeNumber(8, FP, HEAD + at, 0);
    out.load(4, R1, R6, SKB.vlanPresent);
    out.jumpIf32(JUMP.equal, R1, { value: 0 }, untagged);
    out.alu64(ALU.mov, R9, { value: -TAG_OCTETS });
    out.alu32(ALU.add, R2, { value: TAG_OCTETS });
    out.store(4, FP, LENGTH, R2);
    out.alu32(ALU.mov, R2, { value: 0 });
    copyBytes(out, HEAD, ADDRESSES_OCTETS, reject);
    out.load(4, R1, R6, SKB.vlanProto); // in network order
    out.store(2, FP, HEAD + ADDRESSES_OCTETS, R1);
    out.load(4, R1, R6, SKB.vlanTci);
    out.toHostOrder(R1, 16);
    out.store(2, FP, HEAD + ADDRESSES_OCTETS + 2, R1);
    copyBehindTag(out, reject);
    out.place(untagged);
  },
  loadAt: (out, offset, load) => {
    const end = out.newLabel();
    if (offset < TAG_END) {
      const untagged = out.newLabel();
      out.jumpIf64(JUMP.equal, R9, { value: 0 }, untagged);
      if (offset + load.size > TAG_END) {
        out.load(4, R0, FP, LENGTH);
        out.jumpIf32(JUMP.less, R0, { value: offset + load.size }, load.reject);
      }
      loadFromHead(out, FP, offset, load);
      out.jump(end);
      out.place(untagged);
      PACKET_ACCESS.loadAt(out, offset, load);
    } else {
      out.alu64(ALU.mov, R2, { register: R9 });
      out.alu64(ALU.add, R2, { value: within(offset) });
      loadFromPacket(out, load);
    }
    out.place(end);
  },
  loadBeyond: (out, register, offset, load) => {
    const end = out.newLabel();
    const fromPacket = out.newLabel();
    addOffset(out, register, offset, load.reject);
    out.jumpIf64(JUMP.equal, R9, { value: 0 }, fromPacket);
    out.jumpIf64(JUMP.greaterOrEqual, R2, { value: TAG_END }, fromPacket);
    out.load(4, R0, FP, LENGTH);
    out.alu64(ALU.sub, R0, { value: load.size });
    out.jumpIf64(JUMP.greater, R2, { register: R0 }, load.reject);
    out.alu64(ALU.mov, R1, { register: FP });
    out.alu64(ALU.add, R1, { register: R2 });
    loadFromHead(out, R1, 0, load);
    out.jump(end);
    out.place(fromPacket);
    out.alu64(ALU.add, R2, { register: R9 });
    loadFromPacket(out, load);
    out.place(end);
  },
};
