// libpcap through koffi: only its compiler of filter expressions.
import koffi from 'koffi';
import { copyMemory } from './memory.js';

const bpfProgram = koffi.struct('bpf_program', { bf_len: 'uint32_t', bf_insns: 'void *' });

/** The filter in classic BPF, struct bpf_insn after struct bpf_insn; or why not. */
export type CompiledFilter = { readonly instructions: Buffer } | { readonly message: string };

export interface Libpcap {
  readonly versionString: () => string;
  /** @param linkType LINKTYPE_ number of what the filter sees */
  readonly compile: (expression: string, linkType: number) => CompiledFilter;
}

const INSTRUCTION_OCTETS = 8;
/** tcpdump's: more than a packet has. */
const SNAPSHOT_OCTETS = 262_144;
const OPTIMIZE = 1;
const NETMASK_UNKNOWN = 0xffffffff;

/** @throws an Error of koffi's when the library cannot be loaded */
export function loadLibpcap(path: string): Libpcap {
  const library = koffi.load(path);
  const openDead: (linkType: number, snapshot: number) => bigint | null = library.func(
    'void *pcap_open_dead(int linktype, int snaplen)',
  );
  const compile: (
    pcap: bigint,
    program: object,
    expression: string,
    optimize: number,
    netmask: number,
  ) => number = library.func('pcap_compile', 'int', [
    'void *',
    koffi.inout(koffi.pointer(bpfProgram)),
    'str',
    'int',
    'uint32_t',
  ]);
  const freeCode: (program: object) => void = library.func('pcap_freecode', 'void', [
    koffi.inout(koffi.pointer(bpfProgram)),
  ]);
  const lastError: (pcap: bigint) => string = library.func('str pcap_geterr(void *pcap)');
  const close: (pcap: bigint) => void = library.func('void pcap_close(void *pcap)');
  return {
    versionString: library.func('str pcap_lib_version()'),
    compile: (expression, linkType) => {
      const pcap = openDead(linkType, SNAPSHOT_OCTETS);
      if (pcap === null) throw new Error('libpcap: no memory');
      const program: { bf_len: number; bf_insns: bigint | null } = { bf_len: 0, bf_insns: null };
      try {
        const result = compile(pcap, program, expression, OPTIMIZE, NETMASK_UNKNOWN);
        if (result !== 0 || program.bf_insns === null) return { message: lastError(pcap) };
        const octets = program.bf_len * INSTRUCTION_OCTETS;
        const instructions = copyMemory(program.bf_insns, octets);
        freeCode(program);
        return { instructions };
      } finally {
        close(pcap);
      }
    },
  };
}
