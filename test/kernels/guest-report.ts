// What a guest of `make kernels` finds out, as lines of text between it and the host.
import type { KernelFeature } from '../../src/bpf-loader/kernel-features.js';

export interface GuestFindings {
  /** As `procflow doctor` shows them. */
  readonly features: readonly KernelFeature[];
  /** Each program of the object: what the verifier said of it, '' where it loaded. */
  readonly programs: Readonly<Record<string, string>>;
  /** Tests and runs by their names: what went wrong, '' where nothing did. */
  readonly checks: Readonly<Record<string, string>>;
}

const MARK = 'procflow-finding ';

export function findingLine(finding: Partial<GuestFindings>): string {
  return `${MARK}${JSON.stringify(finding)}\n`;
}

/**
 * Takes in one line of the guest's console.
 * @returns the findings so far, unchanged where the line is something else
 */
export function withLine(findings: GuestFindings, line: string): GuestFindings {
  const at = line.indexOf(MARK);
  if (at < 0) return findings;
  const { features, programs, checks } = JSON.parse(
    line.slice(at + MARK.length),
  ) as Partial<GuestFindings>;
  return {
    features: features ?? findings.features,
    programs: { ...findings.programs, ...programs },
    checks: { ...findings.checks, ...checks },
  };
}

export const NO_FINDINGS: GuestFindings = { features: [], programs: {}, checks: {} };
