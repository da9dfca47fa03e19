// libbpf through koffi: declarations, no decisions. This folder is the only one to import koffi.
import koffi, { type LibraryHandle } from 'koffi';
import { attachmentState, type AttachmentState } from './attachment-state.js';
import {
  iterateOptions,
  openOptions,
  programOptions,
  tcHook,
  tcOptions,
  testRunOptions,
} from './libbpf-arguments.js';
import { pinFunctions, type PinFunctions } from './libbpf-pins.js';
import { copyMemory, copyMemoryTo } from './memory.js';

/** koffi hands pointers out as plain bigints; the brands keep them apart. */
type Pointer<Name extends string> = bigint & { readonly pointsTo: Name };
export type ObjectPointer = Pointer<'bpf_object'>;
export type ProgramPointer = Pointer<'bpf_program'>;
export type MapPointer = Pointer<'bpf_map'>;
export type LinkPointer = Pointer<'bpf_link'>;
type RingBufferPointer = Pointer<'ring_buffer'>;
type BtfPointer = Pointer<'btf'>;

const printFunction = koffi.proto('int libbpf_print_fn(int level, void *format, void *arguments)');
const sampleFunction = koffi.proto('int ring_sample_fn(void *context, void *data, size_t size)');

interface RingBuffer {
  /**
   * Moves records to the beginning of the buffer until the largest finds no room any more or the ring is
   * empty.
   * @returns octets of them, or a negative errno
   */
  readonly take: () => number;
  readonly close: () => void;
}

/** libbpf's functions. Integers are 0 or a file descriptor, or a negative errno. */
export interface Libbpf extends PinFunctions, AttachmentState {
  readonly versionString: () => string;
  readonly openFile: (path: string, options: object) => ObjectPointer | null;
  readonly load: (object: ObjectPointer) => number;
  readonly close: (object: ObjectPointer) => void;
  readonly findProgram: (object: ObjectPointer, name: string) => ProgramPointer | null;
  readonly findMap: (object: ObjectPointer, name: string) => MapPointer | null;
  /** The first one where `before` is null; null after the last one. */
  readonly nextProgram: (
    object: ObjectPointer,
    before: ProgramPointer | null,
  ) => ProgramPointer | null;
  readonly programName: (program: ProgramPointer) => string;
  readonly programFd: (program: ProgramPointer) => number;
  readonly setAutoload: (program: ProgramPointer, autoload: boolean) => number;
  readonly mapFd: (map: MapPointer) => number;
  /** The first one where `before` is null; null after the last one. */
  readonly nextMap: (object: ObjectPointer, before: MapPointer | null) => MapPointer | null;
  readonly mapName: (map: MapPointer) => string;
  readonly keyOctets: (map: MapPointer) => number;
  readonly valueOctets: (map: MapPointer) => number;
  /** Before loading: the map will be the one that is there already. */
  readonly reuseMap: (map: MapPointer, mapFd: number) => number;
  /** Of a ring buffer: its octets. */
  readonly maxEntries: (map: MapPointer) => number;
  readonly setMaxEntries: (map: MapPointer, entries: number) => number;
  /** Of a section of constants, before loading; all of its octets. */
  readonly setInitialValue: (map: MapPointer, value: Buffer, octets: number) => number;
  readonly attach: (program: ProgramPointer) => LinkPointer | null;
  readonly attachCgroup: (program: ProgramPointer, cgroupFd: number) => LinkPointer | null;
  readonly attachIterator: (program: ProgramPointer, options: object | null) => LinkPointer | null;
  readonly linkFd: (link: LinkPointer) => number;
  readonly destroyLink: (link: LinkPointer) => number;
  readonly createIterator: (linkFd: number) => number;
  readonly createLink: (program: number, target: number, type: number, options: null) => number;
  /** @returns a descriptor */
  readonly createMap: (
    type: number,
    name: string,
    keyOctets: number,
    valueOctets: number,
    entries: number,
    options: null,
  ) => number;
  /** @returns a descriptor */
  readonly loadProgram: (
    type: number,
    name: string,
    license: string,
    instructions: Buffer,
    count: number,
    options: object,
  ) => number;
  readonly lookup: (mapFd: number, key: Buffer, value: Buffer) => number;
  readonly update: (mapFd: number, key: Buffer, value: Buffer, flags: number) => number;
  /** The first key where `key` is null; -ENOENT after the last one. */
  readonly nextKey: (mapFd: number, key: Buffer | null, next: Buffer) => number;
  readonly possibleCpus: () => number;
  readonly createTcHook: (hook: object) => number;
  readonly destroyTcHook: (hook: object) => number;
  readonly attachTc: (hook: object, filter: object) => number;
  readonly detachTc: (hook: object, filter: object) => number;
  /**
   * @param buffer where take() puts records: room for a number of them
   * @param largest octets of the largest record
   * @param known dropped, should it be the first record
   * @returns undefined when it cannot be mapped: lastErrno() says why
   */
  readonly openRingBuffer: (
    mapFd: number,
    buffer: Buffer,
    largest: number,
    known?: Buffer,
  ) => RingBuffer | undefined;
  readonly testRun: (programFd: number, options: object) => number;
  /** The same with options that are in memory already: koffi would convert them each time. */
  readonly testRunPrepared: (programFd: number, options: Buffer) => number;
  /** The object's BTF, raw. */
  readonly btfBytes: (object: ObjectPointer) => Buffer;
  /** Hands each line that libbpf would have printed to `onLine`. */
  readonly onPrint: (onLine: (line: string) => void) => void;
}

const PRINT_OCTETS = 4096;
/** Any negative number; consume() returns it. */
const STOP_CONSUMING = -1;

/** @throws an Error of koffi's when the library cannot be loaded */
export function loadLibbpf(path: string): Libbpf {
  const library = koffi.load(path);
  const func = (declaration: string) => library.func(declaration);
  return {
    versionString: func('str libbpf_version_string()'),
    openFile: library.func('bpf_object__open_file', 'void *', ['str', koffi.pointer(openOptions)]),
    load: func('int bpf_object__load(void *object)'),
    close: func('void bpf_object__close(void *object)'),
    findProgram: func('void *bpf_object__find_program_by_name(void *object, str name)'),
    findMap: func('void *bpf_object__find_map_by_name(void *object, str name)'),
    nextProgram: func('void *bpf_object__next_program(void *object, void *before)'),
    programName: func('str bpf_program__name(void *program)'),
    programFd: func('int bpf_program__fd(void *program)'),
    setAutoload: func('int bpf_program__set_autoload(void *program, bool autoload)'),
    mapFd: func('int bpf_map__fd(void *map)'),
    nextMap: func('void *bpf_object__next_map(void *object, void *before)'),
    mapName: func('str bpf_map__name(void *map)'),
    keyOctets: func('uint32_t bpf_map__key_size(void *map)'),
    valueOctets: func('uint32_t bpf_map__value_size(void *map)'),
    reuseMap: func('int bpf_map__reuse_fd(void *map, int map_fd)'),
    maxEntries: func('uint32_t bpf_map__max_entries(void *map)'),
    setMaxEntries: func('int bpf_map__set_max_entries(void *map, uint32_t entries)'),
    setInitialValue: func('int bpf_map__set_initial_value(void *map, void *value, size_t octets)'),
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
    nextKey: func('int bpf_map_get_next_key(int map, void *key, void *next)'),
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
    ...loadersWithoutObject(library),
    ...pinFunctions(library),
    ...attachmentState(library),
    openRingBuffer: ringBufferOpener(library),
    testRun: library.func('bpf_prog_test_run_opts', 'int', [
      'int',
      koffi.inout(koffi.pointer(testRunOptions)),
    ]),
    testRunPrepared: func('int bpf_prog_test_run_opts(int program, void *options)'),
    btfBytes: btfReader(library),
    onPrint: printSetter(library),
  };
}

/** What is not in an object file, but made here. */
function loadersWithoutObject(library: LibraryHandle): Pick<Libbpf, 'createMap' | 'loadProgram'> {
  return {
    createMap: library.func('bpf_map_create', 'int', [
      ...['int', 'str', 'uint32_t', 'uint32_t', 'uint32_t', 'void *'],
    ]),
    loadProgram: library.func('bpf_prog_load', 'int', [
      ...['int', 'str', 'str', 'void *', 'size_t'],
      koffi.pointer(programOptions),
    ]),
  };
}

function btfReader(library: LibraryHandle): Libbpf['btfBytes'] {
  const objectBtf: (object: ObjectPointer) => BtfPointer | null = library.func(
    'void *bpf_object__btf(void *object)',
  );
  const rawData: (btf: BtfPointer, size: number[]) => bigint | null = library.func(
    'void *btf__raw_data(void *btf, _Out_ uint32_t *size)',
  );
  return (object) => {
    const btf = objectBtf(object);
    const size = [0];
    const data = btf === null ? null : rawData(btf, size);
    return data === null ? Buffer.alloc(0) : copyMemory(data, size[0] ?? 0);
  };
}

function printSetter(library: LibraryHandle): Libbpf['onPrint'] {
  const printPointer = koffi.pointer(printFunction);
  const setPrint = library.func('libbpf_set_print', 'void *', [printPointer]);
  return (onLine) => {
    setPrint(koffi.register(printer(onLine), printPointer));
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
  return (mapFd, buffer, largest, known) => {
    let filled = 0;
    let toSkip = known;
    const callback = koffi.register(
      (_context: bigint | null, data: bigint, size: number | bigint): number => {
        const octets = Number(size);
        const isKnown = toSkip?.equals(copyMemory(data, octets)) === true;
        toSkip = undefined;
        if (isKnown) return 0;
        copyMemoryTo(buffer, filled, data, octets);
        filled += octets;
        const isFull = filled + largest > buffer.length;
        // libbpf goes on until the ring is empty, which it never is when packets come faster than
        // they are taken out. It has counted this record as consumed when it obeys.
        return isFull ? STOP_CONSUMING : 0;
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
        filled = 0;
        const result = consume(ring);
        return result < 0 && filled === 0 ? result : filled;
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
  const vsnprintf: (out: Buffer, size: number, format: bigint, arguments_: bigint) => number = koffi
    .load('libc.so.6')
    .func('int vsnprintf(void *out, size_t size, void *format, void *arguments)');
  const out = Buffer.alloc(PRINT_OCTETS);
  return (_level: number, format: bigint, arguments_: bigint): number => {
    const length = Math.min(vsnprintf(out, out.length, format, arguments_), out.length - 1);
    onLine(out.toString('utf8', 0, length).trimEnd());
    return 0;
  };
}
