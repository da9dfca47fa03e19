// libbpf's functions for what outlives a process: pins in a BPF file system, and links that are taken over.
import koffi, { type LibraryHandle } from 'koffi';

/** Integers are 0 or a file descriptor, or a negative errno. */
export interface PinFunctions {
  /** A map, a program or a link; the path must be free. */
  readonly pin: (fd: number, path: string) => number;
  /** @returns a descriptor */
  readonly openPinned: (path: string) => number;
  /** The link's program from now on, in one step. */
  readonly updateLink: (linkFd: number, programFd: number, options: null) => number;
  /** Fills struct bpf_map_info or the like as far as both go; `octets` has its length. */
  readonly objectInfo: (fd: number, info: Buffer, octets: Buffer) => number;
  /** As createMap, with flags; returns a descriptor. */
  readonly createMapWith: (
    type: number,
    name: string,
    keyOctets: number,
    valueOctets: number,
    entries: number,
    options: Buffer,
  ) => number;
}

const mapOptions = koffi.struct('bpf_map_create_opts', {
  sz: 'size_t',
  btf_fd: 'uint32_t',
  btf_key_type_id: 'uint32_t',
  btf_value_type_id: 'uint32_t',
  btf_vmlinux_value_type_id: 'uint32_t',
  inner_map_fd: 'uint32_t',
  map_flags: 'uint32_t',
  map_extra: 'uint64_t',
  numa_node: 'uint32_t',
  map_ifindex: 'uint32_t',
});

export function pinFunctions(library: LibraryHandle): PinFunctions {
  const func = (declaration: string) => library.func(declaration);
  return {
    pin: func('int bpf_obj_pin(int fd, str path)'),
    openPinned: func('int bpf_obj_get(str path)'),
    updateLink: func('int bpf_link_update(int link, int program, void *options)'),
    objectInfo: func('int bpf_obj_get_info_by_fd(int fd, void *info, void *octets)'),
    createMapWith: library.func('bpf_map_create', 'int', [
      ...['int', 'str', 'uint32_t', 'uint32_t', 'uint32_t', 'void *'],
    ]),
  };
}

/** What createMapWith takes. */
export function mapFlagsArgument(flags: number): Buffer {
  const options = Buffer.alloc(koffi.sizeof(mapOptions));
  options.writeBigUInt64LE(BigInt(options.length), 0);
  options.writeUInt32LE(flags, koffi.offsetof(mapOptions, 'map_flags'));
  return options;
}
