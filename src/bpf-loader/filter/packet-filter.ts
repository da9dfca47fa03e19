// The filter of a metering session: an expression, and its programs in the kernel, made as they are
// needed and shared by the interfaces that need the same.
import type { BpfObject } from '../bpf-object.js';
import { compileFilter, LINK_TYPE, openLibpcap } from './compile-filter.js';
import {
  FILTER_HOOKS,
  loadFilterProgram,
  type FilterProgram,
  type MeterProgram,
} from './filter-program.js';

/**
 * Before the kernel is touched: whether the expression can be one for packets there.
 * @throws FilterError, BpfError when there is no libpcap
 */
export function checkFilter(expression: string, capture: 'interface' | 'sockets'): void {
  // The mask of an interface is not known yet, and sockets have none.
  const link =
    capture === 'sockets'
      ? { linkType: LINK_TYPE.rawIp }
      : { linkType: LINK_TYPE.ethernet, netmask: 0 };
  compileFilter(openLibpcap(), expression, link);
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

/** @throws BpfError when there is no libpcap */
export function openPacketFilter(
  object: Pick<BpfObject, 'libbpf' | 'programFd'>,
  expression: string,
): PacketFilter {
  const libpcap = openLibpcap();
  const programs = new Map<string, FilterProgram>();
  const compiled = new Map<string, Buffer>();
  /** Once: for hundreds of conditions libpcap needs seconds. */
  const compile = (linkType: number, netmask: number | undefined): Buffer => {
    const key = `${linkType} ${netmask}`;
    const link = { linkType, ...(netmask !== undefined && { netmask }) };
    const classic = compiled.get(key) ?? compileFilter(libpcap, expression, link);
    compiled.set(key, classic);
    return classic;
  };
  return {
    programFd: (meterProgram, netmask) => {
      const hook = FILTER_HOOKS[meterProgram];
      const classic = compile(hook.linkType, netmask);
      // Few expressions know of the mask: for most, all interfaces of a kind share one program.
      const key = `${meterProgram} ${classic.toString('base64')}`;
      let program = programs.get(key);
      if (program === undefined) {
        const filter = { expression, classic };
        program = loadFilterProgram(object.libbpf, hook, filter, object.programFd(meterProgram));
        programs.set(key, program);
      }
      return program.fd;
    },
    close: () => {
      for (const program of programs.values()) program.close();
      programs.clear();
    },
  };
}
