// What each part of the benchmark tells: a table, and which goals it meets.

export interface Goal {
  readonly text: string;
  /** As measured, with its unit. */
  readonly measured: string;
  readonly isMet: boolean;
}

export interface BenchSection {
  readonly title: string;
  /** What is compared with what, a sentence each. */
  readonly notes: readonly string[];
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly goals: readonly Goal[];
  /** Packets or octets that do not sum up: the benchmark fails. */
  readonly inexact: readonly string[];
}
