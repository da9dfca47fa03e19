// The packet programs on an interface: TCX links where the kernel has them (6.6), clsact filters
// where not. A TCX link goes away with its descriptor; a filter stays after a crash, so it has a
// handle and a priority of ours, by which the next start finds and replaces it.
import { closeSync } from 'node:fs';
import type { LoadedPrograms } from './bpf-object.js';
import { BpfError } from './bpf-error.js';
import type { MeterProgram } from './filter/filter-program.js';
import type { PacketFilter } from './filter/packet-filter.js';
import { lockInterface } from './interface-lock.js';
import type { Libc } from './native/libc.js';
import { tcFilterArgument, tcHookArgument, type TcHook } from './native/libbpf-arguments.js';
import { INTERFACE_LINK, UNPINNED_LINKS, type LinkKeeper } from './state/link-keeper.js';
import {
  FILTER_HANDLE,
  FILTER_PRIORITY,
  clsactMark,
  removeLeftFilters,
} from './state/left-filters.js';
import { constants } from 'node:os';

export type AttachMode = 'tcx' | 'clsact';

type Direction = 'ingress' | 'egress';

/** Where and with what: numbers of enum bpf_attach_type and enum bpf_tc_attach_point. */
const ATTACH: Readonly<Record<Direction, { tcx: number; clsact: number }>> = {
  ingress: { tcx: 46, clsact: 1 },
  egress: { tcx: 47, clsact: 2 },
};
const CLSACT_BOTH = 3;
const BPF_TC_F_REPLACE = 1;

// ARPHRD_ numbers of include/uapi/linux/if_arp.h.
const ETHERNET = 1;
const LOOPBACK = 772;
const WITHOUT_LINK_LAYER = new Set([
  512, // PPP
  519, // raw IP
  768, // IPIP tunnel
  769, // IPv6 tunnel
  776, // SIT
  778, // GRE over IPv4
  823, // GRE over IPv6
  65534, // none: tun, WireGuard
]);

export interface Attachment {
  readonly interfaceIndex: number;
  /** When it was attached. */
  readonly interfaceName: string;
  /**
   * What comes back has nothing attached to it: after it was deleted, and with clsact after it was in
   * another network namespace. A TCX link goes there with its interface, and comes back with it.
   */
  isAttached(): boolean;
  detach(): void;
}

/** One program at one hook. */
interface Attached {
  readonly isAttached: () => boolean;
  readonly detach: () => void;
}

interface AttachOptions {
  readonly mode: AttachMode;
  readonly filter?: PacketFilter | undefined;
  /** Default: what is attached ends with the process. */
  readonly keeper?: LinkKeeper;
}

interface Place {
  /** Name of the interface. */
  readonly where: string;
  readonly keeper: LinkKeeper;
}

interface Hook {
  readonly direction: Direction;
  readonly program: MeterProgram;
}

/** What goes to a hook: the meter's program itself, or the filter before it. */
interface Entry extends Hook {
  readonly fd: number;
}

/** Which programs an interface gets, or why none. */
function hooksFor(linkType: number): readonly Hook[] | string {
  // Loopback is metered on its way out only: what goes out there comes in again.
  if (linkType === LOOPBACK) return [{ direction: 'egress', program: 'flow_egress' }];
  if (linkType === ETHERNET) {
    return [
      { direction: 'ingress', program: 'flow_ingress' },
      { direction: 'egress', program: 'flow_egress' },
    ];
  }
  if (WITHOUT_LINK_LAYER.has(linkType)) {
    return [
      { direction: 'ingress', program: 'flow_ingress_ip' },
      { direction: 'egress', program: 'flow_egress_ip' },
    ];
  }
  return `its link layer (ARPHRD ${linkType}) is neither Ethernet nor plain IP`;
}

function attachTcx(
  object: LoadedPrograms,
  ifindex: number,
  entry: Entry,
  { where, keeper }: Place,
): Attached {
  const { program, direction } = entry;
  const { fd, detach } = keeper.attach({
    name: `${INTERFACE_LINK}${ifindex}-${direction}`,
    programFd: entry.fd,
    target: { kind: 'interface', interfaceIndex: ifindex },
    create: () => {
      const fd = object.libbpf.createLink(entry.fd, ifindex, ATTACH[direction].tcx, null);
      if (fd < 0) throw object.error(-fd, `attach ${program} to ${where} ${direction} (TCX)`);
      return {
        fd,
        close: () => {
          closeSync(fd);
        },
      };
    },
  });
  return { isAttached: () => object.libbpf.linkInterface(fd) === ifindex, detach };
}

function attachClsact(
  object: LoadedPrograms,
  ifindex: number,
  { program, direction, fd }: Entry,
  { where }: Place,
): Attached {
  const { libbpf } = object;
  const tcHook: TcHook = { ifindex, attachPoint: ATTACH[direction].clsact };
  const filter = { flags: 0, handle: FILTER_HANDLE, priority: FILTER_PRIORITY };
  const result = libbpf.attachTc(
    tcHookArgument(tcHook),
    tcFilterArgument({ ...filter, programFd: fd, flags: BPF_TC_F_REPLACE }),
  );
  if (result < 0) {
    throw object.error(-result, `attach ${program} to ${where} ${direction} (clsact)`);
  }
  const [hook, ours] = [tcHookArgument(tcHook), { ...filter, programFd: 0 }];
  return {
    isAttached: () => libbpf.queryTc(hook, tcFilterArgument(ours)) === 0,
    detach: () => {
      libbpf.detachTc(hook, tcFilterArgument(ours));
    },
  };
}

/** @returns what removes the qdisc again, if it is ours */
function ensureClsact(
  object: LoadedPrograms,
  ifindex: number,
  { where, keeper }: Place,
): () => void {
  const hook = tcHookArgument({ ifindex, attachPoint: CLSACT_BOTH });
  const mark = clsactMark(ifindex);
  // What a former process has made, and left for this one, is ours.
  const wasOurs = keeper.othersMarks().includes(mark);
  const result = object.libbpf.createTcHook(hook);
  if (result === -constants.errno.EEXIST && !wasOurs) return () => undefined;
  if (result < 0 && result !== -constants.errno.EEXIST) {
    throw object.error(-result, `add the clsact qdisc to ${where}`);
  }
  keeper.mark(mark);
  return () => {
    object.libbpf.destroyTcHook(hook);
    keeper.unmark(mark);
  };
}

/**
 * Index of an interface of the calling thread's network namespace, also by an alternative name.
 * @throws BpfError when there is none
 */
export function requireInterface(libc: Libc, interfaceName: string): number {
  const index = libc.interfaceIndex(interfaceName);
  if (index !== 0) return index;
  const names = [...libc.interfaces().values()].join(', ');
  throw new BpfError('ENODEV', `meter interface ${interfaceName}`, `there are: ${names}`);
}

/**
 * Attaches to one interface of the calling thread's network namespace.
 * @throws BpfError when there is no such interface (ENODEV) or it cannot be metered, FilterError when the
 *   filter cannot be one for it
 */
export function attachInterface(
  object: LoadedPrograms,
  libc: Libc,
  { index: ifindex, name: interfaceName }: { readonly index: number; readonly name: string },
  { mode, filter, keeper = UNPINNED_LINKS }: AttachOptions,
): Attachment {
  const linkType = libc.linkType(interfaceName);
  // A name that another has by now would be attached to twice.
  if (linkType === undefined || libc.interfaceIndex(interfaceName) !== ifindex) {
    throw new BpfError('ENODEV', `meter interface ${interfaceName}`, 'it is gone');
  }
  const hooks = hooksFor(linkType);
  if (typeof hooks === 'string') {
    throw new BpfError('EPFNOSUPPORT', `meter interface ${interfaceName}`, hooks);
  }
  // Without an address (a mirror port): 0, as tcpdump and softflowd take it then.
  const netmask = libc.netmask(interfaceName) ?? 0;
  const entries = hooks.map((hook) => ({
    ...hook,
    fd: filter?.programFd(hook.program, netmask) ?? object.programFd(hook.program),
  }));
  const attached: Attached[] = [];
  const undo: (() => void)[] = [];
  const detach = (): void => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) step();
  };
  try {
    const place = { where: interfaceName, keeper };
    if (mode === 'clsact') {
      undo.push(lockInterface(ifindex, interfaceName));
      undo.push(ensureClsact(object, ifindex, place));
      // One program at a time.
      keeper.dropOthers(`${INTERFACE_LINK}${ifindex}-`);
    } else removeLeftFilters(object.libbpf, ifindex, interfaceName);
    const attach = mode === 'tcx' ? attachTcx : attachClsact;
    for (const entry of entries) {
      const done = attach(object, ifindex, entry, place);
      attached.push(done);
      undo.push(done.detach);
    }
  } catch (error) {
    detach();
    throw error;
  }
  const isAttached = (): boolean => attached.every((each) => each.isAttached());
  return { interfaceIndex: ifindex, interfaceName, isAttached, detach };
}

/** TCX if the kernel takes a link on the loopback interface's egress, else clsact. */
export function probeAttachMode(object: LoadedPrograms, libc: Libc): AttachMode {
  const fd = object.libbpf.createLink(
    object.programFd('flow_egress'),
    libc.interfaceIndex('lo'),
    ATTACH.egress.tcx,
    null,
  );
  if (fd < 0) return 'clsact';
  closeSync(fd);
  return 'tcx';
}
