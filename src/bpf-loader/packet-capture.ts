// What either way of capturing packets gives: at interfaces or at sockets.
import type { Capability } from './capabilities.js';

/** Where packets are metered now. */
export type Metered =
  | { readonly interfaces: readonly string[] }
  /** At the sockets of this cgroup, in all network namespaces. */
  | { readonly cgroup: string };

export interface PacketCapture {
  readonly metered: () => Metered;
  /** Capabilities without which it cannot go on, or not end well. */
  readonly neededLater: readonly Capability[];
  /**
   * Attaches to interfaces that appeared, forgets those that went. Cheap; call it often.
   * @returns whether there is more to do at once, after others had their turn
   */
  readonly rescanInterfaces: () => boolean;
  /** Detaches; more than once does no harm. */
  readonly close: () => void;
}
