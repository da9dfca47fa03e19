// What `procflow detach` does: removes what sessions that have ended left in the kernel.
import {
  findLeftState,
  removeFilters,
  removeState,
  type RemovedState,
} from '../bpf-loader/state/left-behind.js';
import { readStatePath } from './state-path.js';

interface DetachConfig {
  readonly state?: string;
  readonly netns?: string;
}

interface Detached {
  readonly state?: RemovedState & { readonly path: string };
  /** Names of interfaces whose filters were removed. */
  readonly filters: readonly string[];
  /** State directories that are still there, and in nobody's use. */
  readonly left: readonly string[];
}

interface DetachSettings {
  readonly state?: string | undefined;
  readonly netns?: string | undefined;
}

/** @throws ConfigError */
export function readDetachConfig({ state, netns }: DetachSettings): DetachConfig {
  return {
    ...(state !== undefined && { state: readStatePath(state) }),
    ...(netns !== undefined && { netns }),
  };
}

/** @throws BpfError */
export function detach({ state, netns }: DetachConfig): Detached {
  const removed = state === undefined ? undefined : removeState(state, netns);
  return {
    ...(state !== undefined && removed !== undefined && { state: { path: state, ...removed } }),
    filters: removeFilters(netns),
    left: findLeftState(),
  };
}
