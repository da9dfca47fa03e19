// The kernel's flow cache as a FlowSource: loads the programs, attaches them, sweeps the cache.
import type { FlowSource } from '../flow/flow-source.js';

export interface KernelFlowSourceOptions {
  /** Interface names, or 'any': all of them, also those that appear later. */
  readonly interfaces: readonly string[] | 'any';
  /** Name (under /run/netns) or path of the network namespace to meter in. */
  readonly netns?: string;
  readonly activeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Most flows that the cache holds at a time. */
  readonly maxFlows: number;
  /** cgroup v2 directory whose sockets are seen at creation; default: the root. */
  readonly cgroup?: string;
  /** How to attach: 'auto' takes TCX where the kernel has it. */
  readonly attach?: 'auto' | 'tcx' | 'clsact';
  /** Told what an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
}

export interface KernelFlowSource extends FlowSource {
  /** Names of the interfaces metered now. */
  readonly interfaces: () => readonly string[];
  /** With 'any': attaches to interfaces that appeared, forgets those that went. Cheap; call it often. */
  readonly rescanInterfaces: () => void;
}

/** @throws BpfError with a message for the user */
export function openKernelFlowSource(_options: KernelFlowSourceOptions): KernelFlowSource {
  throw new Error('not written yet');
}
