// The compiled BPF programs, loaded: open, check the contract, load, look up programs and maps.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { getSystemErrorName } from 'node:util';
import { METER_SETTINGS } from '../flow/flow-contract.gen.js';
import { adviceFor } from './advice.js';
import { BpfError } from './bpf-error.js';
import { checkContract } from './contract-check.js';
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

const OBJECT_PATH = fileURLToPath(new URL('../../bpf/procflow.bpf.o', import.meta.url));
const KERNEL_BTF = '/sys/kernel/btf/vmlinux';
const VERIFIER_LOG_OCTETS = 1 << 20;
const KEPT_LIBBPF_LINES = 200;
const LIBBPF_MINIMUM = 1;

const SETTINGS_SECTION = '.rodata.settings';

export interface LoadOptions {
  /** Sizes of maps, by name. */
  readonly maxEntries: Readonly<Record<string, number>>;
  /** Whose programs are loaded; default: those of interfaces. */
  readonly capture?: CaptureMode;
  /** The network namespace in which interfaces are metered, by its inode number. */
  readonly netns?: number;
  /** The cgroup whose sockets are metered, by the kernel's number; 0n: all. */
  readonly watchedCgroup?: bigint;
}

export type CaptureMode = 'interface' | 'sockets';

/** Programs that only one way of capturing packets needs. */
const CAPTURE_PROGRAMS: Readonly<Record<CaptureMode, readonly string[]>> = {
  interface: ['flow_ingress', 'flow_egress', 'flow_ingress_ip', 'flow_egress_ip'],
  sockets: ['socket_ingress', 'socket_egress'],
};

function meterSettings(options: LoadOptions, kernel: ReadonlySet<string>): Buffer {
  const { fields, size } = METER_SETTINGS;
  const settings = Buffer.alloc(size);
  settings.writeBigUInt64LE(options.watchedCgroup ?? 0n, fields.watched_cgroup.offset);
  settings.writeUInt32LE(options.netns ?? 0, fields.netns.offset);
  settings.writeUInt8(kernel.has(CAST) ? 1 : 0, fields.can_cast.offset);
  return settings;
}

/** Programs that can do without, and the name in the kernel's BTF that they need. */
const OPTIONAL_PROGRAMS: Readonly<Record<string, string>> = {
  socket_sent: 'btf_trace_sock_send_length',
  socket_received: 'btf_trace_sock_recv_length',
};

/** Gives a packet program the kernel's own view of its packet. */
const CAST = 'bpf_cast_to_kern_ctx';

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

/** Whether the running kernel's BTF has this name; a search over its string table. */
function kernelBtfHas(names: readonly string[]): Set<string> {
  const btf = readFileSync(KERNEL_BTF);
  return new Set(names.filter((name) => btf.includes(`\0${name}\0`)));
}

/** What attaching needs of an object: all that is public, so that benchmarks can bring their own. */
export type LoadedPrograms = Pick<BpfObject, keyof BpfObject>;

export class BpfObject {
  readonly libbpf: Libbpf;
  /** Optional programs that this kernel cannot run. */
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
    const libbpf = openLibbpf();
    const lines: string[] = [];
    libbpf.onPrint((line) => {
      lines.push(line);
      if (lines.length > KEPT_LIBBPF_LINES) lines.shift();
    });
    if (!existsSync(OBJECT_PATH)) {
      throw new BpfError('ENOENT', `open ${OBJECT_PATH}`, 'build it: make build');
    }
    if (!existsSync(KERNEL_BTF)) {
      throw new BpfError(
        'ENOENT',
        `read ${KERNEL_BTF}`,
        'procflow needs a kernel built with CONFIG_DEBUG_INFO_BTF',
      );
    }
    const log = Buffer.alloc(VERIFIER_LOG_OCTETS);
    const object = libbpf.openFile(OBJECT_PATH, openArgument(log));
    if (object === null) {
      throw bpfError(lastErrno(), `open ${OBJECT_PATH}`, lines, log);
    }
    try {
      checkContract(libbpf.btfBytes(object), OBJECT_PATH);
      const known = kernelBtfHas([...Object.values(OPTIONAL_PROGRAMS), CAST]);
      const unavailable = new Set(
        Object.entries(OPTIONAL_PROGRAMS)
          .filter(([, needs]) => !known.has(needs))
          .map(([program]) => program),
      );
      const loaded = new BpfObject(libbpf, object, unavailable, log, lines);
      const others = CAPTURE_PROGRAMS[options.capture === 'sockets' ? 'interface' : 'sockets'];
      for (const name of [...unavailable, ...others]) {
        libbpf.setAutoload(loaded.program(name), false);
      }
      for (const [name, entries] of Object.entries(options.maxEntries)) {
        libbpf.setMaxEntries(loaded.map(name), entries);
      }
      const settings = meterSettings(options, known);
      libbpf.setInitialValue(loaded.map(SETTINGS_SECTION), settings, settings.length);
      const result = libbpf.load(object);
      if (result < 0) throw bpfError(-result, 'load the BPF programs', lines, log);
      return loaded;
    } catch (error) {
      libbpf.close(object);
      throw error;
    }
  }

  program(name: string): ProgramPointer {
    const program = this.libbpf.findProgram(this.#object, name);
    if (program === null) throw new Error(`no program ${name} in ${OBJECT_PATH}`);
    return program;
  }

  map(name: string): MapPointer {
    const map = this.libbpf.findMap(this.#object, name);
    if (map === null) throw new Error(`no map ${name} in ${OBJECT_PATH}`);
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
