// What the kernel and the machine offer, found by trying: for `procflow doctor`, and to choose
// between ways of attaching.

export interface KernelFeature {
  readonly name: string;
  readonly found: boolean;
  /** The exporter cannot run without it. */
  readonly required: boolean;
  /** What was seen: a version, a path, an error. */
  readonly detail: string;
  /** What its absence costs, or how to mend it. */
  readonly consequence: string;
}

export function probeKernelFeatures(): readonly KernelFeature[] {
  throw new Error('not written yet');
}
