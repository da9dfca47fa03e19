// clsact filters that stayed behind: unlike links they outlive their process, and no pin names them. They have
// a handle and a priority of ours.
import { BpfError } from '../bpf-error.js';
import { lockInterface } from '../interface-lock.js';
import type { Libbpf } from '../native/libbpf.js';
import { tcFilterArgument, tcHookArgument } from '../native/libbpf-arguments.js';

export const FILTER_HANDLE = 0x50464c57; // "PFLW"
export const FILTER_PRIORITY = 0xc0de;

/** enum bpf_tc_attach_point: ingress, egress */
const ATTACH_POINTS = [1, 2] as const;
const CLSACT_BOTH = 3;
const FILTER = { programFd: 0, flags: 0, handle: FILTER_HANDLE, priority: FILTER_PRIORITY };

/** By which the next process knows that the clsact qdisc of an interface was made by procflow. */
export function clsactMark(ifindex: number): string {
  return `clsact-${ifindex}`;
}

export function interfaceOfMark(mark: string): number | undefined {
  const [, digits] = /^clsact-(\d+)$/.exec(mark) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

function hasFilters(libbpf: Libbpf, ifindex: number): boolean {
  return ATTACH_POINTS.some((attachPoint) => {
    const hook = tcHookArgument({ ifindex, attachPoint });
    return libbpf.queryTc(hook, tcFilterArgument(FILTER)) === 0;
  });
}

/**
 * Removes what a process left on an interface of the calling thread's network namespace; what belongs to one
 * that runs stays.
 * @returns whether there was something
 * @throws BpfError
 */
export function removeLeftFilters(libbpf: Libbpf, ifindex: number, interfaceName: string): boolean {
  if (!hasFilters(libbpf, ifindex)) return false;
  const unlock = lockUnlessHeld(ifindex, interfaceName);
  if (unlock === undefined) return false;
  try {
    for (const attachPoint of ATTACH_POINTS) {
      libbpf.detachTc(tcHookArgument({ ifindex, attachPoint }), tcFilterArgument(FILTER));
    }
    return true;
  } finally {
    unlock();
  }
}

/** The qdisc that procflow made, and what others have put there since. */
export function removeClsact(libbpf: Libbpf, ifindex: number): void {
  libbpf.destroyTcHook(tcHookArgument({ ifindex, attachPoint: CLSACT_BOTH }));
}

/** Whether nobody who runs meters there by filters. */
export function isLeftBehind(libbpf: Libbpf, ifindex: number, name: string): boolean {
  if (!hasFilters(libbpf, ifindex)) return false;
  const unlock = lockUnlessHeld(ifindex, name);
  unlock?.();
  return unlock !== undefined;
}

function lockUnlessHeld(ifindex: number, name: string): (() => void) | undefined {
  try {
    return lockInterface(ifindex, name);
  } catch (error) {
    if (error instanceof BpfError && error.code === 'EBUSY') return undefined;
    throw error;
  }
}
