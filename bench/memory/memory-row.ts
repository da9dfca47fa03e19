// What is measured of a daemon in one state.
import type { KernelMemory, Memory } from './memory-stage.js';

export interface MemoryRow {
  readonly name: string;
  /** Samples. */
  readonly memory: readonly Memory[];
  readonly kernel?: KernelMemory;
  /** As given with -m; undefined: the default. */
  readonly maxFlows?: number | undefined;
  /** In the cache. */
  readonly flows?: number;
  readonly flowOctets?: number | undefined;
  readonly isAtRate?: boolean;
}

export interface MemoryRows {
  readonly rows: readonly MemoryRow[];
  readonly inexact: readonly string[];
}
