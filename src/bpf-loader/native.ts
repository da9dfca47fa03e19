// libbpf and libc through koffi: declarations, no decisions. The one file that imports koffi.
import koffi, { type LibraryHandle } from 'koffi';

/** koffi hands pointers out as plain bigints; the brands keep them apart. */
type Pointer<Name extends string> = bigint & { readonly pointsTo: Name };
export type ObjectPointer = Pointer<'bpf_object'>;
export type ProgramPointer = Pointer<'bpf_program'>;
export type MapPointer = Pointer<'bpf_map'>;
export type LinkPointer = Pointer<'bpf_link'>;
type RingBufferPointer = Pointer<'ring_buffer'>;
type BtfPointer = Pointer<'btf'>;

// Structures of libbpf's interface. Each begins with its own size, so that an older or newer
// library reads only what both know.
const openOptions = koffi.struct('bpf_object_open_opts', {
  sz: 'size_t',
  object_name: 'str',
  relaxed_maps: 'bool',
  pin_root_path: 'str',
  reserved: 'uint32_t',
  kconfig: 'str',
  btf_custom_path: 'str',
  kernel_log_buf: 'uint64_t',
  kernel_log_size: 'size_t',
  kernel_log_level: 'uint32_t',
});
const iterateOptions = koffi.struct('bpf_iter_attach_opts', {
  sz: 'size_t',
  link_info: 'uint64_t',
  link_info_len: 'uint32_t',
});
const tcHook = koffi.struct('bpf_tc_hook', {
  sz: 'size_t',
  ifindex: 'int',
  attach_point: 'int',
  parent: 'uint32_t',
});
const tcOptions = koffi.struct('bpf_tc_opts', {
  sz: 'size_t',
  prog_fd: 'int',
  flags: 'uint32_t',
  prog_id: 'uint32_t',
  handle: 'uint32_t',
  priority: 'uint32_t',
});
const testRunOptions = koffi.struct('bpf_test_run_opts', {
  sz: 'size_t',
  data_in: 'uint64_t',
  data_out: 'uint64_t',
  data_size_in: 'uint32_t',
  data_size_out: 'uint32_t',
  ctx_in: 'uint64_t',
  ctx_out: 'uint64_t',
  ctx_size_in: 'uint32_t',
  ctx_size_out: 'uint32_t',
  retval: 'uint32_t',
  repeat: 'int',
  duration: 'uint32_t',
  flags: 'uint32_t',
  cpu: 'uint32_t',
  batch_size: 'uint32_t',
});
const timespec = koffi.struct('timespec', { tv_sec: 'int64_t', tv_nsec: 'int64_t' });
const printFunction = koffi.proto('int libbpf_print_fn(int level, void *format, void *arguments)');
const sampleFunction = koffi.proto('int ring_sample_fn(void *context, void *data, size_t size)');

export interface TcHook {
  readonly ifindex: number;
  /** 1 ingress, 2 egress, 3 both. */
  readonly attachPoint: number;
}
export interface TcFilter {
  readonly programFd: number;
  readonly flags: number;
  readonly handle: number;
  readonly priority: number;
}

export interface RingBuffer {
  /** Copies of the records that came since the last call, or a negative errno. */
  readonly take: () => Buffer[] | number;
  readonly close: () => void;
}

/** libbpf's functions. Integers are 0 or a file descriptor, or a negative errno. */
export interface Libbpf {
  readonly versionString: () => string;
  readonly openFile: (path: string, options: object) => ObjectPointer | null;
  readonly load: (object: ObjectPointer) => number;
  readonly close: (object: ObjectPointer) => void;
  readonly findProgram: (object: ObjectPointer, name: string) => ProgramPointer | null;
  readonly findMap: (object: ObjectPointer, name: string) => MapPointer | null;
  readonly programFd: (program: ProgramPointer) => number;
  readonly setAutoload: (program: ProgramPointer, autoload: boolean) => number;
  readonly mapFd: (map: MapPointer) => number;
  readonly setMaxEntries: (map: MapPointer, entries: number) => number;
  readonly attach: (program: ProgramPointer) => LinkPointer | null;
  readonly attachCgroup: (program: ProgramPointer, cgroupFd: number) => LinkPointer | null;
  readonly attachIterator: (program: ProgramPointer, options: object | null) => LinkPointer | null;
  readonly linkFd: (link: LinkPointer) => number;
  readonly destroyLink: (link: LinkPointer) => number;
  readonly createIterator: (linkFd: number) => number;
  readonly createLink: (program: number, target: number, type: number, options: null) => number;
  readonly lookup: (mapFd: number, key: Buffer, value: Buffer) => number;
  readonly update: (mapFd: number, key: Buffer, value: Buffer, flags: number) => number;
  readonly possibleCpus: () => number;
  readonly createTcHook: (hook: object) => number;
  readonly destroyTcHook: (hook: object) => number;
  readonly attachTc: (hook: object, filter: object) => number;
  readonly detachTc: (hook: object, filter: object) => number;
  /** undefined when it cannot be mapped: lastErrno() says why. */
  readonly openRingBuffer: (mapFd: number) => RingBuffer | undefined;
  readonly testRun: (programFd: number, options: object) => number;
  /** The object's BTF, raw. */
  readonly btfBytes: (object: ObjectPointer) => Buffer;
  /** Hands each line that libbpf would have printed to `onLine`. */
  readonly onPrint: (onLine: (line: string) => void) => void;
}

const PRINT_OCTETS = 4096;

/** @throws an Error of koffi's when the library cannot be loaded */
export function loadLibbpf(path: string): Libbpf {
  const library = koffi.load(path);
  const func = (declaration: string) => library.func(declaration);
  const objectBtf: (object: ObjectPointer) => BtfPointer | null = func(
    'void *bpf_object__btf(void *object)',
  );
  const btfRawData: (btf: BtfPointer, size: number[]) => bigint | null = func(
    'void *btf__raw_data(void *btf, _Out_ uint32_t *size)',
  );
  const setPrint = library.func('libbpf_set_print', 'void *', [koffi.pointer(printFunction)]);
  return {
    versionString: func('str libbpf_version_string()'),
    openFile: library.func('bpf_object__open_file', 'void *', ['str', koffi.pointer(openOptions)]),
    load: func('int bpf_object__load(void *object)'),
    close: func('void bpf_object__close(void *object)'),
    findProgram: func('void *bpf_object__find_program_by_name(void *object, str name)'),
    findMap: func('void *bpf_object__find_map_by_name(void *object, str name)'),
    programFd: func('int bpf_program__fd(void *program)'),
    setAutoload: func('int bpf_program__set_autoload(void *program, bool autoload)'),
    mapFd: func('int bpf_map__fd(void *map)'),
    setMaxEntries: func('int bpf_map__set_max_entries(void *map, uint32_t entries)'),
    attach: func('void *bpf_program__attach(void *program)'),
    attachCgroup: func('void *bpf_program__attach_cgroup(void *program, int cgroup_fd)'),
    attachIterator: library.func('bpf_program__attach_iter', 'void *', [
      'void *',
      koffi.pointer(iterateOptions),
    ]),
    linkFd: func('int bpf_link__fd(void *link)'),
    destroyLink: func('int bpf_link__destroy(void *link)'),
    createIterator: func('int bpf_iter_create(int link_fd)'),
    createLink: func('int bpf_link_create(int program, int target, int type, void *options)'),
    lookup: func('int bpf_map_lookup_elem(int map, void *key, void *value)'),
    update: func('int bpf_map_update_elem(int map, void *key, void *value, uint64_t flags)'),
    possibleCpus: func('int libbpf_num_possible_cpus()'),
    createTcHook: library.func('bpf_tc_hook_create', 'int', [koffi.pointer(tcHook)]),
    destroyTcHook: library.func('bpf_tc_hook_destroy', 'int', [koffi.pointer(tcHook)]),
    attachTc: library.func('bpf_tc_attach', 'int', [
      koffi.pointer(tcHook),
      koffi.inout(koffi.pointer(tcOptions)),
    ]),
    detachTc: library.func('bpf_tc_detach', 'int', [
      koffi.pointer(tcHook),
      koffi.pointer(tcOptions),
    ]),
    openRingBuffer: ringBufferOpener(library),
    testRun: library.func('bpf_prog_test_run_opts', 'int', [
      'int',
      koffi.inout(koffi.pointer(testRunOptions)),
    ]),
    btfBytes: (object) => {
      const btf = objectBtf(object);
      const size = [0];
      const data = btf === null ? null : btfRawData(btf, size);
      return data === null ? Buffer.alloc(0) : copyMemory(data, size[0] ?? 0);
    },
    onPrint: (onLine) => {
      setPrint(koffi.register(printer(onLine), koffi.pointer(printFunction)));
    },
  };
}

function ringBufferOpener(library: LibraryHandle): Libbpf['openRingBuffer'] {
  const samplePointer = koffi.pointer(sampleFunction);
  const create = library.func('ring_buffer__new', 'void *', [
    'int',
    samplePointer,
    'void *',
    'void *',
  ]);
  const consume: (ring: RingBufferPointer) => number = library.func(
    'int ring_buffer__consume(void *ring)',
  );
  const free: (ring: RingBufferPointer) => void = library.func(
    'void ring_buffer__free(void *ring)',
  );
  return (mapFd) => {
    const samples: Buffer[] = [];
    const callback = koffi.register(
      (_context: bigint | null, data: bigint, size: number | bigint): number => {
        samples.push(copyMemory(data, Number(size)));
        return 0;
      },
      samplePointer,
    );
    const ring = create(mapFd, callback, null, null) as RingBufferPointer | null;
    if (ring === null) {
      koffi.unregister(callback);
      return undefined;
    }
    return {
      take: () => {
        const result = consume(ring);
        return result < 0 ? result : samples.splice(0);
      },
      close: () => {
        free(ring);
        koffi.unregister(callback);
      },
    };
  };
}

/**
 * libbpf prints through a va_list, which only C can read. On every Linux ABI a va_list travels as
 * a pointer, so it can be handed on to vsnprintf.
 */
function printer(onLine: (line: string) => void) {
  const vsnprintf: (out: Buffer, size: number, format: bigint, arguments_: bigint) => number = libc(
    'int vsnprintf(void *out, size_t size, void *format, void *arguments)',
  );
  const out = Buffer.alloc(PRINT_OCTETS);
  return (_level: number, format: bigint, arguments_: bigint): number => {
    const length = Math.min(vsnprintf(out, out.length, format, arguments_), out.length - 1);
    onLine(out.toString('utf8', 0, length).trimEnd());
    return 0;
  };
}

function libc(declaration: string) {
  return koffi.load('libc.so.6').func(declaration);
}

/** A copy of memory that C owns. */
export function copyMemory(address: bigint, octets: number): Buffer {
  return Buffer.from(Buffer.from(koffi.view(address, octets)));
}

/** Where a buffer lies, for a structure that points to it. Keep the buffer while C may use it. */
export function addressOf(buffer: Buffer): bigint {
  return koffi.address(buffer);
}

/** errno of the last call that failed through NULL, as its name: "EPERM". */
export function lastErrno(): number {
  return koffi.errno();
}

export function tcHookArgument(hook: TcHook): object {
  return {
    sz: koffi.sizeof(tcHook),
    ifindex: hook.ifindex,
    attach_point: hook.attachPoint,
    parent: 0,
  };
}

export function tcFilterArgument(filter: TcFilter): object {
  return {
    sz: koffi.sizeof(tcOptions),
    prog_fd: filter.programFd,
    flags: filter.flags,
    prog_id: 0,
    handle: filter.handle,
    priority: filter.priority,
  };
}

/** @param log where the kernel writes the verifier's log of a program that it refuses */
export function openArgument(log: Buffer): object {
  return {
    sz: koffi.sizeof(openOptions),
    object_name: null,
    relaxed_maps: false,
    pin_root_path: null,
    reserved: 0,
    kconfig: null,
    btf_custom_path: null,
    kernel_log_buf: koffi.address(log),
    kernel_log_size: log.length,
    kernel_log_level: 0,
  };
}

/** @param linkInfo union bpf_iter_link_info */
export function iteratorArgument(linkInfo: Buffer): object {
  return {
    sz: koffi.sizeof(iterateOptions),
    link_info: koffi.address(linkInfo),
    link_info_len: linkInfo.length,
  };
}

export interface TestRun {
  readonly packet: Buffer;
  /** struct __sk_buff; only some of its fields may be set. */
  readonly context: Buffer;
  readonly repeat: number;
}

/** What bpf_prog_test_run_opts takes, and into which it writes retval and duration. */
export function testRunArgument(run: TestRun): { retval: number; duration: number } {
  const argument = {
    sz: koffi.sizeof(testRunOptions),
    data_in: koffi.address(run.packet),
    data_out: 0,
    data_size_in: run.packet.length,
    data_size_out: 0,
    ctx_in: koffi.address(run.context),
    ctx_out: 0,
    ctx_size_in: run.context.length,
    ctx_size_out: 0,
    retval: 0,
    repeat: run.repeat,
    duration: 0,
    flags: 0,
    cpu: 0,
    batch_size: 0,
  };
  return argument;
}

export interface Libc {
  /** A clock in nanoseconds: CLOCK_REALTIME or CLOCK_BOOTTIME. */
  readonly clockNs: (clock: number) => bigint;
  /** Moves the calling thread into the network namespace; 0 or -1. */
  readonly enterNetworkNamespace: (fd: number) => number;
  /** Index of an interface in the thread's network namespace, 0 when there is none. */
  readonly interfaceIndex: (name: string) => number;
  /** The interface of that index, or undefined. */
  readonly interfaceName: (index: number) => string | undefined;
  /** ARPHRD_ number of the interface's link layer, or undefined when it is gone. */
  readonly linkType: (name: string) => number | undefined;
  /** All interfaces of the thread's network namespace: index to name. */
  readonly interfaces: () => Map<number, string>;
}

export const CLOCK_REALTIME = 0;
export const CLOCK_BOOTTIME = 7;
const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFHWADDR = 0x8927;
const IFREQ_OCTETS = 40;
const IF_NAME_OCTETS = 16;
const IF_NAMEINDEX_OCTETS = 16; // struct if_nameindex: unsigned index, 4 of padding, char *name

export function loadLibc(): Libc {
  const clockGettime: (clock: number, time: object) => number = koffi
    .load('libc.so.6')
    .func('clock_gettime', 'int', ['int', koffi.out(koffi.pointer(timespec))]);
  const setns: (fd: number, type: number) => number = libc('int setns(int fd, int type)');
  const nameToIndex: (name: string) => number = libc('uint32_t if_nametoindex(str name)');
  const indexToName: (index: number, name: Buffer) => bigint | null = libc(
    'void *if_indextoname(uint32_t index, void *name)',
  );
  const nameIndex: () => bigint | null = libc('void *if_nameindex()');
  const freeNameIndex: (list: bigint) => void = libc('void if_freenameindex(void *list)');
  const socket: (family: number, type: number, protocol: number) => number = libc(
    'int socket(int family, int type, int protocol)',
  );
  const ioctl: (fd: number, request: number, argument: Buffer) => number = libc(
    'int ioctl(int fd, unsigned long request, void *argument)',
  );
  const close: (fd: number) => number = libc('int close(int fd)');
  const stringLength: (text: bigint) => number | bigint = libc('size_t strlen(void *text)');

  return {
    clockNs: (clock) => {
      const time = { tv_sec: 0, tv_nsec: 0 };
      clockGettime(clock, time);
      return BigInt(time.tv_sec) * 1_000_000_000n + BigInt(time.tv_nsec);
    },
    enterNetworkNamespace: (fd) => setns(fd, CLONE_NEWNET),
    interfaceIndex: nameToIndex,
    interfaceName: (index) => {
      const name = Buffer.alloc(IF_NAME_OCTETS);
      if (indexToName(index, name) === null) return undefined;
      return name.toString('utf8', 0, name.indexOf(0));
    },
    linkType: (name) => {
      const request = Buffer.alloc(IFREQ_OCTETS);
      request.write(name, 0, IF_NAME_OCTETS - 1, 'utf8');
      const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (fd < 0) return undefined;
      try {
        return ioctl(fd, SIOCGIFHWADDR, request) === 0 ? request.readUInt16LE(16) : undefined;
      } finally {
        close(fd);
      }
    },
    interfaces: () => {
      const found = new Map<number, string>();
      const list = nameIndex();
      if (list === null) return found;
      for (let at = list; ; at += BigInt(IF_NAMEINDEX_OCTETS)) {
        const entry = copyMemory(at, IF_NAMEINDEX_OCTETS);
        const name = entry.readBigUInt64LE(8);
        if (name === 0n) break;
        found.set(entry.readUInt32LE(0), copyMemory(name, Number(stringLength(name))).toString());
      }
      freeNameIndex(list);
      return found;
    },
  };
}
