// libpcap through koffi: its compiler of filter expressions, and the filter's interpreter.
import koffi, { type LibraryHandle } from 'koffi';
import { copyMemory } from './memory.js';

const bpfProgram = koffi.struct('bpf_program', { bf_len: 'uint32_t', bf_insns: 'void *' });

/** What a filter sees: as the header of a capture file says it. */
export interface FilterLink {
  /** LINKTYPE_ number. */
  readonly linkType: number;
  /** Of the machine that captured: BSD's loopback has its protocol in that machine's order. */
  readonly isBigEndian?: boolean;
  /** As a number whose highest octet is the address's first; undefined: "ip broadcast" is refused. */
  readonly netmask?: number;
}

/** libpcap's optimizer makes programs several times shorter, in more than quadratic time. */
export interface CompileOptions {
  readonly optimize: boolean;
}

/** The filter in classic BPF, struct bpf_insn after struct bpf_insn; or why not. */
export type CompiledFilter = { readonly instructions: Buffer } | { readonly message: string };

export interface Libpcap {
  readonly versionString: () => string;
  readonly compile: (
    expression: string,
    link: FilterLink,
    options: CompileOptions,
  ) => CompiledFilter;
  readonly interpreter: (instructions: Buffer) => FilterInterpreter;
}

/**
 * @param start of the packet's first octet in the buffer
 * @returns what the filter returns: 0 for a packet that is not wanted
 */
export type FilterInterpreter = (
  bytes: Buffer,
  start: number,
  wireOctets: number,
  capturedOctets: number,
) => number;

const INSTRUCTION_OCTETS = 8;
/** tcpdump's: more than a packet has. */
const SNAPSHOT_OCTETS = 262_144;
const NETMASK_UNKNOWN = 0xffffffff;
const ERROR_OCTETS = 256; // PCAP_ERRBUF_SIZE

/** @throws an Error of koffi's when the library cannot be loaded */
export function loadLibpcap(path: string): Libpcap {
  const library = koffi.load(path);
  return {
    versionString: library.func('str pcap_lib_version()'),
    compile: filterCompiler(library),
    interpreter: interpreterMaker(library),
  };
}

function filterCompiler(library: LibraryHandle): Libpcap['compile'] {
  const open = fileHeaderOpener(library);
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
  return (expression, link, { optimize }) => {
    const header = fileHeader(link);
    const pcap = open(header);
    if (typeof pcap === 'string') return { message: pcap };
    const program: { bf_len: number; bf_insns: bigint | null } = { bf_len: 0, bf_insns: null };
    try {
      const netmask = link.netmask ?? NETMASK_UNKNOWN;
      const result = compile(pcap, program, expression, optimize ? 1 : 0, netmask);
      if (result !== 0 || program.bf_insns === null) return { message: lastError(pcap) };
      const octets = program.bf_len * INSTRUCTION_OCTETS;
      const instructions = copyMemory(program.bf_insns, octets);
      freeCode(program);
      return { instructions };
    } finally {
      close(pcap);
    }
  };
}

/** Of a pcap file without packets: only for files libpcap knows LINKTYPE_ numbers and byte orders. */
function fileHeader({ linkType, isBigEndian = false }: FilterLink): Buffer {
  const fields = [0xa1b2c3d4, 0, 0, 0, SNAPSHOT_OCTETS, linkType];
  const header = Buffer.alloc(4 * fields.length);
  for (const [i, field] of fields.entries()) {
    if (isBigEndian) header.writeUInt32BE(field, 4 * i);
    else header.writeUInt32LE(field, 4 * i);
  }
  // The format's version: two numbers of two octets.
  if (isBigEndian) header.writeUInt32BE(0x00020004, 4);
  else header.writeUInt32LE(0x00040002, 4);
  return header;
}

/** What it returns must not outlive the header; a text says why there is nothing. */
function fileHeaderOpener(library: LibraryHandle): (header: Buffer) => bigint | string {
  const libc = koffi.load('libc.so.6');
  const openMemory: (bytes: Buffer, octets: number, mode: string) => bigint | null = libc.func(
    'void *fmemopen(void *bytes, size_t octets, str mode)',
  );
  const closeFile: (file: bigint) => number = libc.func('int fclose(void *file)');
  const openFile: (file: bigint, error: Buffer) => bigint | null = library.func(
    'void *pcap_fopen_offline(void *file, void *error)',
  );
  return (header) => {
    const file = openMemory(header, header.length, 'r');
    if (file === null) return 'no memory';
    const error = Buffer.alloc(ERROR_OCTETS);
    const pcap = openFile(file, error);
    if (pcap !== null) return pcap;
    closeFile(file);
    return error.toString('utf8', 0, error.indexOf(0));
  };
}

/**
 * bpf_filter() is what pcap_offline_filter() calls, and takes no structures. Addresses travel as
 * numbers, which all are below 2^47: neither a bigint nor a view has to be made for each packet.
 */
function interpreterMaker(library: LibraryHandle): Libpcap['interpreter'] {
  const filter: (
    instructions: number,
    packet: number,
    wireOctets: number,
    capturedOctets: number,
  ) => number = library.func(
    'uint32_t bpf_filter(uint64_t instructions, uint64_t packet, uint32_t wire, uint32_t captured)',
  );
  return (instructions) => {
    const program = Number(koffi.address(instructions));
    // Held, so that their addresses stay what they are.
    const held: { instructions: Buffer; bytes: Buffer | undefined } = {
      instructions,
      bytes: undefined,
    };
    let address = 0;
    return (bytes, start, wireOctets, capturedOctets) => {
      if (held.bytes !== bytes) {
        held.bytes = bytes;
        address = Number(koffi.address(bytes));
      }
      return filter(program, address + start, wireOctets, capturedOctets);
    };
  };
}
