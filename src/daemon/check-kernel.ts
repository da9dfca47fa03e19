// What `procflow doctor` shows: the probes of the loader and whether the exporter can run.
import { probeKernelFeatures, type KernelFeature } from '../bpf-loader/kernel-features.js';

export type { KernelFeature };

interface KernelCheck {
  readonly features: readonly KernelFeature[];
  /** Everything that is required was found. */
  readonly canRun: boolean;
}

export function checkKernel(): KernelCheck {
  const features = probeKernelFeatures();
  return { features, canRun: features.every((feature) => feature.found || !feature.required) };
}
