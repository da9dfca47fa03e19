// The compiled BPF programs, loaded: open, check the contract, load, look up programs and maps.
import { closeSync, existsSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { adviceFor } from './advice.js';
import { BpfError } from './bpf-error.js';
import { checkContract } from './contract-check.js';
import { meterSettingsBytes, type MeterSettings } from './meter-settings.js';
import {
  loadLibbpf,
  type Libbpf,
  type LinkPointer,
  type MapPointer,
  type ObjectPointer,
  type ProgramPointer,
} from './native/libbpf.js';
import { openArgument } from './native/libbpf-arguments.js';
import { lastErrno } from './native/memory.js';
import { objectFile } from './object-file.js';
import { KERNEL_BTF, type KernelNames } from './kernel-names.js';
import { requireKernel } from './kernel-requirements.js';
import {
  canCast,
  programsToLeaveOut,
  readKernelNames,
  TRACING_PROGRAMS,
} from './program-choice.js';

const VERIFIER_LOG_OCTETS = 1 << 20;
const KEPT_LIBBPF_LINES = 200;
const LIBBPF_MINIMUM = 1;

const SETTINGS_SECTION = '.rodata.settings';

export interface LoadOptions extends MeterSettings {
  /** Sizes of maps, by name. */
  readonly maxEntries: Readonly<Record<string, number>>;
  /** Whose programs are loaded; default: those of interfaces. */
  readonly capture?: CaptureMode;
  /** Whether those are loaded that follow sockets and processes; default: but for capture files. */
  readonly hooks?: boolean;
  /** Names that the kernel's BTF has; for tests of what other kernels lack. */
  readonly kernel?: KernelNames;
  /** Has all maps but those of `maxEntries` already, with what is in them. */
  readonly sharing?: BpfObject;
  /** Finds maps that a former process left. */
  readonly kept?: MapKeeper | undefined;
}

export interface MapKeeper {
  /**
   * @param object open, with the sizes that its maps will have
   * @returns maps to go on with, by name, which the object closes, and what the programs are then told;
   *   undefined: all maps are new
   */
  readonly chooseMaps: (
    libbpf: Libbpf,
    object: ObjectPointer,
    settings: Buffer,
  ) => KeptMaps | undefined;
}

export interface KeptMaps {
  readonly fds: ReadonlyMap<string, number>;
  readonly settings: Buffer;
}

export type CaptureMode = 'interface' | 'sockets' | 'file';

/** Programs that only one way of capturing packets needs. */
const CAPTURE_PROGRAMS: Readonly<Record<CaptureMode, readonly string[]>> = {
  interface: [
    ...['flow_ingress', 'flow_egress', 'flow_ingress_ip', 'flow_egress_ip'],
    'frame_long_way',
  ],
  sockets: ['socket_ingress', 'socket_egress', 'packet_long_way'],
  file: ['replay_frames'],
};

/** Programs that no packet runs through: they follow sockets and processes. */
const HOOK_PROGRAMS: readonly string[] = [
  ...['socket_created', 'socket_released', 'socket_state_changed', 'snapshot_sockets'],
  ...['socket_sent', 'socket_received', 'socket_drained', 'socket_sends', 'socket_receives'],
  ...['datagram_sent_v4', 'datagram_sent_v6', 'datagram_received_v4', 'datagram_received_v6'],
  ...['process_executed', 'process_forked', 'process_exited', 'list_processes'],
];

/** Where a packet program goes on with what is not plain. */
const LONG_WAYS: Readonly<Partial<Record<CaptureMode, string>>> = {
  interface: 'frame_long_way',
  sockets: 'packet_long_way',
};
const LONG_WAY_MAP = 'long_way';

/** What the kernel would check for longer than all that is needed. */
function programsNotWanted({ capture = 'interface', hooks }: LoadOptions): readonly string[] {
  const ofOthers = Object.entries(CAPTURE_PROGRAMS).flatMap(([mode, names]) =>
    mode === capture ? [] : names,
  );
  return (hooks ?? capture !== 'file') ? ofOthers : [...ofOthers, ...HOOK_PROGRAMS];
}

export function openLibbpf(): Libbpf {
  const path = process.env.PROCFLOW_LIBBPF ?? 'libbpf.so.1';
  try {
    return loadLibbpf(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BpfError(
      'LIBBPF_MISSING',
      `load ${path}`,
      `${reason}; install libbpf ${LIBBPF_MINIMUM}.0 or later: apt-get install libbpf1`,
    );
  }
}

interface ChosenPrograms {
  readonly unavailable: ReadonlySet<string>;
  readonly isWanted: (name: string) => boolean;
}

function without(unavailable: ReadonlySet<string>, options: LoadOptions): ChosenPrograms {
  const unwanted = new Set([...unavailable, ...programsNotWanted(options)]);
  return { unavailable, isWanted: (name) => !unwanted.has(name) };
}

/** What attaching needs of an object: all that is public, so that benchmarks can bring their own. */
export type LoadedPrograms = Omit<Pick<BpfObject, keyof BpfObject>, 'mapFds' | 'btf'>;

export class BpfObject {
  readonly libbpf: Libbpf;
  /** Optional programs that were not loaded: this kernel cannot run them, or need not. */
  readonly unavailable: ReadonlySet<string>;
  readonly #object: ObjectPointer;
  readonly #log: Buffer;
  readonly #lines: string[];

  private constructor(
    libbpf: Libbpf,
    object: ObjectPointer,
    unavailable: ReadonlySet<string>,
    log: Buffer,
    lines: string[],
  ) {
    this.libbpf = libbpf;
    this.#object = object;
    this.unavailable = unavailable;
    this.#log = log;
    this.#lines = lines;
  }

  /**
   * Opens and loads the programs.
   * @throws BpfError
   */
  static load(options: LoadOptions): BpfObject {
    if (!existsSync(KERNEL_BTF)) {
      throw new BpfError(
        'ENOENT',
        `read ${KERNEL_BTF}`,
        'procflow needs a kernel built with CONFIG_DEBUG_INFO_BTF',
      );
    }
    const kernel = options.kernel ?? readKernelNames();
    requireKernel(kernel);
    const leftOut = programsToLeaveOut(kernel);
    const hasCasts = canCast(kernel);
    const settings = meterSettingsBytes(options, {
      canCast: hasCasts,
      atSockets: options.capture === 'sockets',
    });
    const path = objectFile(hasCasts);
    if (TRACING_PROGRAMS.every((name) => leftOut.has(name))) {
      return BpfObject.#loadChosen(path, without(leftOut, options), options, settings);
    }
    try {
      return BpfObject.#loadChosen(path, without(leftOut, options), options, settings);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      // One program that is refused fails all. If it was another one, the second try fails too.
      const unavailable = new Set([...leftOut, ...TRACING_PROGRAMS]);
      return BpfObject.#loadChosen(path, without(unavailable, options), options, settings);
    }
  }

  static #loadChosen(
    path: string,
    { unavailable, isWanted }: ChosenPrograms,
    options: Pick<LoadOptions, 'maxEntries' | 'sharing' | 'capture' | 'kept'>,
    settings: Buffer,
  ): BpfObject {
    const libbpf = openLibbpf();
    const lines: string[] = [];
    libbpf.onPrint((line) => {
      lines.push(line);
      if (lines.length > KEPT_LIBBPF_LINES) lines.shift();
    });
    const log = Buffer.alloc(VERIFIER_LOG_OCTETS);
    const object = libbpf.openFile(path, openArgument(log));
    if (object === null) throw bpfError(lastErrno(), `open ${path}`, lines, log);
    try {
      checkContract(libbpf.btfBytes(object), path);
      const loaded = new BpfObject(libbpf, object, unavailable, log, lines);
      loaded.#choosePrograms(isWanted);
      for (const [name, entries] of Object.entries(options.maxEntries)) {
        libbpf.setMaxEntries(loaded.map(name), entries);
      }
      const kept = options.kept?.chooseMaps(libbpf, object, settings);
      const told = kept?.settings ?? settings;
      libbpf.setInitialValue(loaded.map(SETTINGS_SECTION), told, told.length);
      if (kept !== undefined) loaded.#useMaps(kept.fds);
      if (options.sharing !== undefined) loaded.#shareMaps(options.sharing, options.maxEntries);
      const result = libbpf.load(object);
      if (result < 0) throw bpfError(-result, 'load the BPF programs', lines, log);
      loaded.#openLongWay(LONG_WAYS[options.capture ?? 'interface']);
      return loaded;
    } catch (error) {
      libbpf.close(object);
      throw error;
    }
  }

  #choosePrograms(isWanted: (name: string) => boolean): void {
    const { libbpf } = this;
    let program = libbpf.nextProgram(this.#object, null);
    for (; program !== null; program = libbpf.nextProgram(this.#object, program)) {
      if (!isWanted(libbpf.programName(program))) libbpf.setAutoload(program, false);
    }
  }

  #openLongWay(program: string | undefined): void {
    if (program === undefined) return;
    const fd = Buffer.alloc(4);
    fd.writeUInt32LE(this.programFd(program));
    const result = this.libbpf.update(this.mapFd(LONG_WAY_MAP), Buffer.alloc(4), fd, 0);
    if (result < 0) throw this.error(-result, `open the way to ${program}`);
  }

  #shareMaps(other: BpfObject, ownMaps: LoadOptions['maxEntries']): void {
    const { libbpf } = this;
    let map = libbpf.nextMap(this.#object, null);
    for (; map !== null; map = libbpf.nextMap(this.#object, map)) {
      const name = libbpf.mapName(map);
      // A tail call goes on in this object.
      if (name in ownMaps || name === LONG_WAY_MAP) continue;
      const result = libbpf.reuseMap(map, other.mapFd(name));
      if (result < 0) throw this.error(-result, `share the map ${name}`);
    }
  }

  #useMaps(fds: ReadonlyMap<string, number>): void {
    for (const [name, fd] of fds) {
      const result = this.libbpf.reuseMap(this.map(name), fd);
      closeSync(fd);
      if (result < 0) throw this.error(-result, `go on with the map ${name}`);
    }
  }

  /** Of all maps, by name. */
  mapFds(): Map<string, number> {
    const { libbpf } = this;
    const fds = new Map<string, number>();
    let map = libbpf.nextMap(this.#object, null);
    for (; map !== null; map = libbpf.nextMap(this.#object, map)) {
      fds.set(libbpf.mapName(map), libbpf.mapFd(map));
    }
    return fds;
  }

  /** What the types of its structures say. */
  btf(): Buffer {
    return this.libbpf.btfBytes(this.#object);
  }

  program(name: string): ProgramPointer {
    const program = this.libbpf.findProgram(this.#object, name);
    if (program === null) throw new Error(`no program ${name} in the object`);
    return program;
  }

  map(name: string): MapPointer {
    const map = this.libbpf.findMap(this.#object, name);
    if (map === null) throw new Error(`no map ${name} in the object`);
    return map;
  }

  programFd(name: string): number {
    return this.libbpf.programFd(this.program(name));
  }

  mapFd(name: string): number {
    return this.libbpf.mapFd(this.map(name));
  }

  /** Turns a call's failure into the error that the user reads. */
  error(errno: number, operation: string): BpfError {
    return bpfError(errno, operation, this.#lines, this.#log);
  }

  /** @throws BpfError when libbpf returned no link */
  link(link: LinkPointer | null, operation: string): LinkPointer {
    if (link === null) throw this.error(lastErrno(), operation);
    return link;
  }

  close(): void {
    this.libbpf.close(this.#object);
  }
}

function bpfError(
  errno: number,
  operation: string,
  lines: readonly string[],
  log: Buffer,
): BpfError {
  const code = getSystemErrorName(-errno);
  const end = log.indexOf(0);
  const verifierLog = log.toString('utf8', 0, end === -1 ? log.length : end);
  const details = [...lines, verifierLog].filter((text) => text !== '').join('\n');
  return new BpfError(code, operation, adviceFor(code, lines), details);
}
