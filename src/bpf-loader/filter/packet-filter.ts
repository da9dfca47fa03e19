// The filter of a metering session: an expression, and its programs in the kernel, made as they are
// needed and shared by the interfaces that need the same.
import type { BpfObject } from '../bpf-object.js';
import {
  FilterError,
  LINK_TYPE,
  openFilterCompiler,
  type FilterCompiler,
} from './compile-filter.js';
import {
  FILTER_HOOKS,
  loadFilterProgram,
  type FilterProgram,
  type MeterProgram,
} from './filter-program.js';

/**
 * Before the kernel is touched: whether the expression can be one for packets there.
 * @returns what openPacketFilter takes, so that it is not compiled again
 * @throws FilterError, BpfError when there is no libpcap
 */
export function checkFilter(expression: string, capture: 'interface' | 'sockets'): FilterCompiler {
  const compiler = openFilterCompiler(expression);
  // The mask of an interface is not known yet, and sockets have none.
  if (capture === 'sockets') compiler.compile({ linkType: LINK_TYPE.rawIp });
  else compiler.compile({ linkType: LINK_TYPE.ethernet, netmask: 0 });
  return compiler;
}

export interface PacketFilter {
  /**
   * @param netmask of the interface's network, highest octet first; undefined where it has none
   * @returns descriptor of what to attach in the place of the meter's program
   * @throws FilterError, BpfError
   */
  readonly programFd: (meterProgram: MeterProgram, netmask?: number) => number;
  /** After everything was detached. */
  readonly close: () => void;
}

/** @param keepMap told of each map through which a filter's program goes on to the meter's */
export function openPacketFilter(
  object: Pick<BpfObject, 'libbpf' | 'programFd'>,
  { expression, compile }: FilterCompiler,
  keepMap: (mapFd: number) => void = () => undefined,
): PacketFilter {
  // A program that the kernel refused is not shown to it again for each interface.
  const programs = new Map<string, FilterProgram | FilterError>();
  const load = (meterProgram: MeterProgram, classic: Buffer): FilterProgram | FilterError => {
    const hook = FILTER_HOOKS[meterProgram];
    const meterFd = object.programFd(meterProgram);
    try {
      const program = loadFilterProgram(object.libbpf, hook, { expression, classic }, meterFd);
      keepMap(program.mapFd);
      return program;
    } catch (error) {
      if (error instanceof FilterError) return error;
      throw error;
    }
  };
  return {
    programFd: (meterProgram, netmask) => {
      const { linkType } = FILTER_HOOKS[meterProgram];
      const classic = compile({ linkType, ...(netmask !== undefined && { netmask }) });
      // Few expressions know of the mask: for most, all interfaces of a kind share one program.
      const key = `${meterProgram} ${classic.toString('base64')}`;
      const program = programs.get(key) ?? load(meterProgram, classic);
      programs.set(key, program);
      if (program instanceof FilterError) throw program;
      return program.fd;
    },
    close: () => {
      for (const program of programs.values()) {
        if (!(program instanceof FilterError)) program.close();
      }
      programs.clear();
    },
  };
}
