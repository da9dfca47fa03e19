// libbpf's functions for what outlives a process: pins in a BPF file system, and links that are taken over.
import koffi, { type LibraryHandle } from 'koffi';
import type { MapPointer } from './libbpf.js';

/** Integers are 0 or a file descriptor, or a negative errno. */
export interface PinFunctions {
  /** A map, a program or a link; the path must be free. */
  readonly pin: (fd: number, path: string) => number;
  /** @returns a descriptor */
  readonly openPinned: (path: string) => number;
  /** The link's program from now on, in one step. */
  readonly updateLink: (linkFd: number, programFd: number, options: null) => number;
  /** Of a program that is pinned and not of an object; returns a descriptor. */
  readonly createIteratorLink: (programFd: number, mapFd: number, type: number) => number;
  readonly mapType: (map: MapPointer) => number;
  readonly mapFlags: (map: MapPointer) => number;
  /** Types of the object's BTF; 0 where a map has none. */
  readonly mapKeyType: (map: MapPointer) => number;
  readonly mapValueType: (map: MapPointer) => number;
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
    createIteratorLink: iteratorLinker(library),
    mapType: func('int bpf_map__type(void *map)'),
    mapFlags: func('uint32_t bpf_map__map_flags(void *map)'),
    mapKeyType: func('uint32_t bpf_map__btf_key_type_id(void *map)'),
    mapValueType: func('uint32_t bpf_map__btf_value_type_id(void *map)'),
    objectInfo: func('int bpf_obj_get_info_by_fd(int fd, void *info, void *octets)'),
    createMapWith: library.func('bpf_map_create', 'int', [
      ...['int', 'str', 'uint32_t', 'uint32_t', 'uint32_t', 'void *'],
    ]),
  };
}

/** The beginning of struct bpf_link_create_opts: as much of it as is used. */
const linkOptions = koffi.struct('bpf_link_create_opts', {
  sz: 'size_t',
  flags: 'uint32_t',
  iter_info: 'uint64_t',
  iter_info_len: 'uint32_t',
  target_btf_id: 'uint32_t',
});

function iteratorLinker(library: LibraryHandle): PinFunctions['createIteratorLink'] {
  const create: (program: number, target: number, type: number, options: Buffer) => number =
    library.func('int bpf_link_create(int program, int target, int type, void *options)');
  return (programFd, mapFd, type) => {
    const linkInfo = Buffer.alloc(16); // union bpf_iter_link_info: { map_fd }
    linkInfo.writeUInt32LE(mapFd, 0);
    const options = Buffer.alloc(koffi.sizeof(linkOptions));
    koffi.encode(options, linkOptions, {
      sz: options.length,
      flags: 0,
      iter_info: koffi.address(linkInfo),
      iter_info_len: linkInfo.length,
      target_btf_id: 0,
    });
    return create(programFd, 0, type, options);
  };
}

/** What createMapWith takes. */
export function mapFlagsArgument(flags: number): Buffer {
  const options = Buffer.alloc(koffi.sizeof(mapOptions));
  options.writeBigUInt64LE(BigInt(options.length), 0);
  options.writeUInt32LE(flags, koffi.offsetof(mapOptions, 'map_flags'));
  return options;
}
