// The kernels of `make kernels`: those of Debian's releases.

export interface MatrixKernel {
  /** As its package's version begins. */
  readonly series: string;
  /** Of Debian: where the package comes from. */
  readonly suite: string;
  /** procflow must run on it; else it must say what is missing. */
  readonly isSupported: boolean;
}

export const KERNEL_MATRIX: readonly MatrixKernel[] = [
  { series: '5.10', suite: 'bullseye', isSupported: false },
  { series: '6.1', suite: 'bookworm', isSupported: true },
  { series: '6.12', suite: 'trixie', isSupported: true },
];
