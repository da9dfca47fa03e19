// Filters in the real kernel, by BPF_PROG_TEST_RUN: programs of classic BPF translated and run alone,
// and whole filters before a program that stands for the meter.
import { closeSync } from 'node:fs';
import { openLibbpf } from '../../src/bpf-loader/bpf-object.js';
import type { ClassicInstruction } from '../../src/bpf-loader/filter/classic-bpf.js';
import {
  ALU,
  EbpfAssembler,
  R0,
  R1,
  R2,
  R3,
  R6,
} from '../../src/bpf-loader/filter/ebpf-assembler.js';
import { openFilterCompiler } from '../../src/bpf-loader/filter/compile-filter.js';
import {
  FILTER_HOOKS,
  type FilterHook,
  type MeterProgram,
} from '../../src/bpf-loader/filter/filter-program.js';
import { openPacketFilter } from '../../src/bpf-loader/filter/packet-filter.js';
import {
  translateFilter,
  type FilterEnding,
} from '../../src/bpf-loader/filter/translate-filter.js';
import { programArgument, testRunArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import type { Libbpf } from '../../src/bpf-loader/native/libbpf.js';

const SKB_OCTETS = 192; // struct __sk_buff
const INSTRUCTION_OCTETS = 8;
const LOG_OCTETS = 1 << 20;
const ADDRESSES_OCTETS = 12;
const TAG_OCTETS = 4;
// enum bpf_map_type and bpf_func_id
const PROG_ARRAY = 3;
const TAIL_CALL = 12;
const VLAN_PUSH = 18;

/** What no filter returns of its own: the packet reached what stands for the meter. */
function meteredVerdict(name: MeterProgram): number {
  // At sockets the kernel lets a program return 0 and 1 only.
  return FILTER_HOOKS[name].passVerdict === 1 ? 0 : 7;
}

const ANSWER: FilterEnding = {
  returned: (out, value) => {
    out.alu32(ALU.mov, R0, value);
    out.exit();
  },
};

export class FilterLab {
  readonly #libbpf: Libbpf = openLibbpf();
  readonly #context = Buffer.alloc(SKB_OCTETS);
  readonly #closers: (() => void)[] = [];
  readonly #meters = new Map<string, number>();
  readonly #taggers = new Map<string, Tagger>();

  /** @returns a program that returns what the filter does */
  translate(program: readonly ClassicInstruction[], hook: FilterHook): number {
    return this.#load(hook, translateFilter(program, hook.tagAccess, ANSWER));
  }

  /** @returns the filter that would be attached in the place of the meter's program */
  filter(expression: string, meterProgram: MeterProgram): number {
    const programFd = (name: string): number => this.#meter(name as MeterProgram);
    const compiler = openFilterCompiler(expression);
    const filter = openPacketFilter({ libbpf: this.#libbpf, programFd }, compiler);
    this.#closers.push(filter.close);
    return filter.programFd(meterProgram, 0);
  }

  /** @returns what the program does, unsigned */
  run(fd: number, packet: Buffer): number {
    const argument = testRunArgument({ packet, context: this.#context, repeat: 1 });
    const result = this.#libbpf.testRun(fd, argument);
    if (result < 0) throw new Error(`BPF_PROG_TEST_RUN: errno ${-result}`);
    return argument.retval;
  }

  /** Takes the tag out of the frame, as network cards do, before the program sees it. */
  runUntagged(fd: number, frame: Buffer): number {
    const end = ADDRESSES_OCTETS + TAG_OCTETS;
    const key = frame.toString('hex', ADDRESSES_OCTETS, end);
    const tagger = this.#taggers.get(key) ?? this.#newTagger(frame.readUInt32BE(ADDRESSES_OCTETS));
    this.#taggers.set(key, tagger);
    this.#setElement(tagger.map, fd);
    const rest = Buffer.concat([frame.subarray(0, ADDRESSES_OCTETS), frame.subarray(end)]);
    return this.run(tagger.program, rest);
  }

  /** @throws when the filter let the packet neither go on to the meter nor on its way */
  isMetered(verdict: number, name: MeterProgram): boolean {
    if (verdict === meteredVerdict(name)) return true;
    if (verdict === FILTER_HOOKS[name].passVerdict >>> 0) return false;
    throw new Error(`verdict ${verdict} of a filter before ${name}`);
  }

  /** Every program so far; it can go on with others. */
  close(): void {
    this.#meters.clear();
    this.#taggers.clear();
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) close();
  }

  #meter(name: MeterProgram): number {
    const known = this.#meters.get(name);
    if (known !== undefined) return known;
    const out = new EbpfAssembler();
    ANSWER.returned(out, { value: meteredVerdict(name) });
    const fd = this.#load(FILTER_HOOKS[name], out.bytes());
    this.#meters.set(name, fd);
    return fd;
  }

  /** Puts the tag where the kernel keeps one that was not in the frame. */
  #newTagger(tag: number): Tagger {
    const map = this.#take(this.#libbpf.createMap(PROG_ARRAY, 'tagged', 4, 4, 1, null));
    const out = new EbpfAssembler();
    out.alu64(ALU.mov, R6, { register: R1 });
    // The protocol in network order, in a register's low half.
    out.alu32(ALU.mov, R2, { value: ((tag >>> 24) & 0xff) | ((tag >>> 8) & 0xff00) });
    out.alu32(ALU.mov, R3, { value: tag & 0xffff });
    out.call(VLAN_PUSH);
    out.alu64(ALU.mov, R1, { register: R6 });
    out.loadMap(R2, map);
    out.alu32(ALU.mov, R3, { value: 0 });
    out.call(TAIL_CALL);
    out.alu32(ALU.mov, R0, { value: 0xdead });
    out.exit();
    return { map, program: this.#load(FILTER_HOOKS.flow_ingress, out.bytes()) };
  }

  #setElement(map: number, fd: number): void {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(fd);
    const result = this.#libbpf.update(map, Buffer.alloc(4), value, 0);
    if (result < 0) throw new Error(`set an element: errno ${-result}`);
  }

  #load(hook: FilterHook, bytes: Buffer): number {
    const log = Buffer.alloc(LOG_OCTETS);
    const count = bytes.length / INSTRUCTION_OCTETS;
    const options = programArgument(hook.attachType, log);
    const { programType } = hook;
    const fd = this.#libbpf.loadProgram(programType, 'test', 'GPL', bytes, count, options);
    return this.#take(fd, log);
  }

  #take(fd: number, log = Buffer.alloc(1)): number {
    if (fd < 0) throw new Error(`errno ${-fd}\n${log.toString('utf8', 0, log.indexOf(0))}`);
    this.#closers.push(() => {
      closeSync(fd);
    });
    return fd;
  }
}

interface Tagger {
  readonly map: number;
  readonly program: number;
}
