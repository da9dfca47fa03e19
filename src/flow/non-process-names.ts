// What stands in the place of a process name where no process of this host sent or received: for
// collectors, which see the name only, and for people.
import { ATTRIBUTION_METHOD } from './flow-contract.gen.js';

export interface NonProcessNames {
  /** The kernel's own packets. */
  readonly kernel: string;
  /** Neither end is on this host. */
  readonly forwarded: string;
  /** A process was looked for and not found. */
  readonly unknown: string;
}

export const NON_PROCESS_NAMES: NonProcessNames = {
  kernel: '(kernel)',
  forwarded: '(forwarded)',
  unknown: '(unknown)',
};

/** @param method one of ATTRIBUTION_METHOD, of a side that has no process */
export function nonProcessKind(method: number): keyof NonProcessNames {
  if (method === ATTRIBUTION_METHOD.ATTRIBUTION_KERNEL) return 'kernel';
  if (method === ATTRIBUTION_METHOD.ATTRIBUTION_FORWARDED) return 'forwarded';
  return 'unknown';
}
