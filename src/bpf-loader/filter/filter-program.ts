// A filter in the kernel: a program of its own that stands where the meter's program would, and hands
// the packets that match over to it. What does not match costs the meter nothing.
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { adviceFor } from '../advice.js';
import { BpfError } from '../bpf-error.js';
import type { Libbpf } from '../native/libbpf.js';
import { programArgument } from '../native/libbpf-arguments.js';
import { readClassicProgram } from './classic-bpf.js';
import { FilterError, FEWER, hasWord, LINK_TYPE, shortened } from './compile-filter.js';
import {
  ALU,
  JUMP,
  JumpTooFarError,
  R0,
  R1,
  R2,
  R3,
  R6,
  type EbpfAssembler,
} from './ebpf-assembler.js';
import {
  FRAME_ACCESS,
  PACKET_ACCESS,
  TAGGED_FRAME_ACCESS,
  type PacketAccess,
} from './packet-access.js';
import { translateFilter, type FilterEnding } from './translate-filter.js';

/** What calls the program, and with what. */
export interface FilterHook {
  /** enum bpf_prog_type and bpf_attach_type: the kernel wants those of the meter's program. */
  readonly programType: number;
  readonly attachType: number;
  /** LINKTYPE_ number of what the packet begins with. */
  readonly linkType: number;
  readonly access: PacketAccess;
  /** For expressions that ask for tags. */
  readonly tagAccess: PacketAccess;
  /** Lets the packet go on its way. */
  readonly passVerdict: number;
}

const AT_INTERFACE = { programType: 3, attachType: 0, passVerdict: -1 /* TC_ACT_UNSPEC */ };
const WITH_LINK_LAYER = {
  linkType: LINK_TYPE.ethernet,
  access: FRAME_ACCESS,
  tagAccess: TAGGED_FRAME_ACCESS,
};
const WITHOUT_LINK_LAYER = {
  linkType: LINK_TYPE.rawIp,
  access: PACKET_ACCESS,
  tagAccess: PACKET_ACCESS,
};
/** The attach type of those that go to either direction. */
const AT_SOCKET = { ...WITHOUT_LINK_LAYER, programType: 8, attachType: 0, passVerdict: 1 };

/** Of each of the meter's programs. */
export const FILTER_HOOKS = {
  flow_ingress: { ...AT_INTERFACE, ...WITH_LINK_LAYER },
  flow_egress: { ...AT_INTERFACE, ...WITH_LINK_LAYER },
  flow_ingress_ip: { ...AT_INTERFACE, ...WITHOUT_LINK_LAYER },
  flow_egress_ip: { ...AT_INTERFACE, ...WITHOUT_LINK_LAYER },
  socket_ingress: AT_SOCKET,
  socket_egress: AT_SOCKET,
} as const satisfies Readonly<Record<string, FilterHook>>;

export type MeterProgram = keyof typeof FILTER_HOOKS;

const NAME = 'procflow_filter';
const LICENSE = 'GPL';
const PROG_ARRAY = 3;
const WORD_OCTETS = 4;
const INSTRUCTION_OCTETS = 8;
const TAIL_CALL = 12;
/** The verifier says in its last lines why it refused. */
const LOG_OCTETS = 1 << 20;
const TOO_LONG = `is too long for the kernel: ${FEWER}`;

export interface FilterProgram {
  readonly fd: number;
  /** By which it calls the meter's program: the kernel empties it when its last descriptor is closed. */
  readonly mapFd: number;
  /** Before it is closed it must be detached: what it matches would no longer reach the meter. */
  readonly close: () => void;
}

/**
 * Wanted: on to the meter's program, which stands alone in the map. Should the kernel refuse the call,
 * or once the map is gone, the packet goes on its way as one that is not wanted does.
 */
function endingAt(mapFd: number, passVerdict: number): FilterEnding {
  const pass = (out: EbpfAssembler): void => {
    out.alu32(ALU.mov, R0, { value: passVerdict });
    out.exit();
  };
  return {
    returned: (out, value) => {
      if ('value' in value && value.value === 0) {
        pass(out);
        return;
      }
      const notWanted = out.newLabel();
      if ('register' in value) out.jumpIf32(JUMP.equal, value.register, { value: 0 }, notWanted);
      out.alu64(ALU.mov, R1, { register: R6 });
      out.loadMap(R2, mapFd);
      out.alu32(ALU.mov, R3, { value: 0 });
      out.call(TAIL_CALL);
      out.place(notWanted);
      pass(out);
    },
  };
}

/**
 * @param classic instructions as libpcap compiles them for the hook's link type
 * @param meterFd the program that packets go on to
 * @throws FilterError, BpfError
 */
export function loadFilterProgram(
  libbpf: Libbpf,
  hook: FilterHook,
  filter: { readonly expression: string; readonly classic: Buffer },
  meterFd: number,
): FilterProgram {
  const { expression, classic } = filter;
  const fds: number[] = [];
  const close = (): void => {
    for (let fd = fds.pop(); fd !== undefined; fd = fds.pop()) closeSync(fd);
  };
  const take = (fd: number, again?: (log: Buffer) => number): number => {
    if (fd < 0) throw kernelError(-fd, expression, again);
    fds.push(fd);
    return fd;
  };
  try {
    // The kernel empties it when its last descriptor is closed.
    const map = take(libbpf.createMap(PROG_ARRAY, NAME, WORD_OCTETS, WORD_OCTETS, 1, null));
    const ending = endingAt(map, hook.passVerdict);
    const instructions = translated(expression, classic, accessFor(hook, expression), ending);
    const count = instructions.length / INSTRUCTION_OCTETS;
    const load = (log?: Buffer): number => {
      const options = programArgument(hook.attachType, log);
      return libbpf.loadProgram(hook.programType, NAME, LICENSE, instructions, count, options);
    };
    const fd = take(load(), load);
    const value = Buffer.alloc(WORD_OCTETS);
    value.writeUInt32LE(meterFd);
    const updated = libbpf.update(map, Buffer.alloc(WORD_OCTETS), value, 0);
    if (updated < 0) throw kernelError(-updated, expression);
    return { fd, mapFd: map, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Live tcpdump and softflowd see a tag that the kernel keeps beside the frame only with "vlan". */
function accessFor(hook: FilterHook, expression: string): PacketAccess {
  return hasWord(expression, 'vlan') ? hook.tagAccess : hook.access;
}

function translated(
  expression: string,
  classic: Buffer,
  access: PacketAccess,
  ending: FilterEnding,
): Buffer {
  try {
    return translateFilter(readClassicProgram(classic), access, ending);
  } catch (error) {
    if (error instanceof JumpTooFarError) throw new FilterError(expression, TOO_LONG);
    throw error;
  }
}

/** @param again does what failed once more, for the verifier's log */
function kernelError(
  errno: number,
  expression: string,
  again?: (log: Buffer) => number,
): FilterError | BpfError {
  const code = getSystemErrorName(-errno);
  const log = Buffer.alloc(LOG_OCTETS);
  const fd = again?.(log) ?? -1;
  if (fd >= 0) closeSync(fd);
  const verifierLog = log.toString('utf8', 0, Math.max(0, log.indexOf(0)));
  // "The sequence of 8193 jumps is too complex" has had several numbers.
  if (code === 'E2BIG' || verifierLog.includes('is too complex')) {
    return new FilterError(expression, TOO_LONG);
  }
  return new BpfError(
    code,
    `load filter "${shortened(expression)}"`,
    adviceFor(code, []),
    verifierLog,
  );
}
