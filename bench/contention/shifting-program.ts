// A program that gives each packet of a test run another source address and hands it to the meter: so
// one BPF_PROG_TEST_RUN goes through many flows.
import { closeSync } from 'node:fs';
import type { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import {
  ALU,
  EbpfAssembler,
  FP,
  R0,
  R1,
  R2,
  R3,
  R4,
  R6,
  R7,
  R8,
  R9,
} from '../../src/bpf-loader/filter/ebpf-assembler.js';
import { programArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import type { Teardown } from '../../test/support/program.js';

/** In struct __sk_buff, all of 32 bits. The control block stays from one run to the next. */
export const SKB = { octets: 192, ifindex: 40, counter: 48, mask: 52, base: 56 } as const;

const R5 = 5;
const SOURCE_AT = 26; // behind Ethernet's header
const INSTRUCTION_OCTETS = 8;
// enum bpf_map_type, bpf_func_id and bpf_prog_type
const PROG_ARRAY = 3;
const STORE_BYTES = 9;
const TAIL_CALL = 12;
const SCHED_CLS = 3;

/** The source address becomes base + (counter & mask), and the counter one more. */
function instructions(targets: number): Buffer {
  const out = new EbpfAssembler();
  out.alu64(ALU.mov, R6, { register: R1 });
  out.load(4, R7, R6, SKB.counter);
  out.load(4, R8, R6, SKB.mask);
  out.load(4, R9, R6, SKB.base);
  out.alu64(ALU.mov, R2, { register: R7 });
  out.alu64(ALU.add, R2, { value: 1 });
  out.store(4, R6, SKB.counter, R2);
  out.alu32(ALU.and, R7, { register: R8 });
  out.alu32(ALU.add, R7, { register: R9 });
  out.toHostOrder(R7, 32);
  out.store(4, FP, -4, R7);
  out.alu64(ALU.mov, R1, { register: R6 });
  out.alu64(ALU.mov, R2, { value: SOURCE_AT });
  out.alu64(ALU.mov, R3, { register: FP });
  out.alu64(ALU.add, R3, { value: -4 });
  out.alu64(ALU.mov, R4, { value: 4 });
  out.alu64(ALU.mov, R5, { value: 0 });
  out.call(STORE_BYTES);
  out.alu64(ALU.mov, R1, { register: R6 });
  out.loadMap(R2, targets);
  out.alu64(ALU.mov, R3, { value: 0 });
  out.call(TAIL_CALL);
  out.alu32(ALU.mov, R0, { value: -1 });
  out.exit();
  return out.bytes();
}

/**
 * @param target a program of the object's; without one nothing is metered, for comparison
 * @returns a descriptor
 */
export function loadShifting(t: Teardown, object: BpfObject, target?: string): number {
  const { libbpf } = object;
  const take = (fd: number, operation: string): number => {
    if (fd < 0) throw object.error(-fd, operation);
    t.teardown(() => {
      closeSync(fd);
    });
    return fd;
  };
  const map = libbpf.createMap(PROG_ARRAY, 'target', 4, 4, 1, null);
  take(map, 'create the map of programs');
  if (target !== undefined) {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(object.programFd(target));
    const result = libbpf.update(map, Buffer.alloc(4), value, 0);
    if (result < 0) throw object.error(-result, 'set the target');
  }
  const bytes = instructions(map);
  const count = bytes.length / INSTRUCTION_OCTETS;
  const options = programArgument(0);
  const fd = libbpf.loadProgram(SCHED_CLS, 'shifting', 'GPL', bytes, count, options);
  return take(fd, 'load the shifting program');
}
