// docs/kernels.md's table: kernels, what they have, what came out.
import type { GuestFindings } from './guest-report.js';
import type { MatrixKernel } from './kernel-matrix.js';

export interface KernelResult {
  readonly kernel: MatrixKernel;
  /** As uname says it. */
  readonly release: string;
  readonly findings: GuestFindings;
}

const BEGIN = '<!-- Written by `make kernels`. -->\n';
const END = '<!-- End of what is written. -->\n';

/** The document with another table. */
export function withTable(document: string, results: readonly KernelResult[]): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error('the document has no place for the table');
  return `${document.slice(0, begin + BEGIN.length)}\n${tableOf(results)}\n${document.slice(end)}`;
}

export function tableOf(results: readonly KernelResult[]): string {
  const header = [
    '| kernel | attached by | sends and receives seen by | programs that load | result |',
  ];
  const rows = results.map((result) => {
    const { findings, kernel, release } = result;
    const programs = Object.values(findings.programs);
    const loaded = programs.filter((complaint) => complaint === '').length;
    const cells = [
      `${kernel.series} (${release}, Debian ${kernel.suite})`,
      attachedBy(findings),
      detailOf(findings, 'hooks at send and receive'),
      `${loaded} of ${programs.length}`,
      resultText(result),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [...header, '|---|---|---|---|---|', ...rows, '', ...results.flatMap(details), ''].join(
    '\n',
  );
}

/** Whether the kernel did what it is there for in the matrix. */
export function isAsExpected({ kernel, findings }: KernelResult): boolean {
  if (kernel.isSupported) return failures(findings).length === 0 && hasRun(findings);
  return findings.features.some(({ found, required }) => required && !found);
}

function hasRun({ features, checks }: GuestFindings): boolean {
  return features.length > 0 && Object.keys(checks).length > 0;
}

function attachedBy(findings: GuestFindings): string {
  const tcx = findings.features.find(({ name }) => name === 'TCX links');
  if (tcx === undefined) return '-';
  return tcx.found ? 'TCX' : 'clsact';
}

function detailOf(findings: GuestFindings, name: string): string {
  return findings.features.find((feature) => feature.name === name)?.detail ?? '-';
}

function resultText({ kernel, findings }: KernelResult): string {
  const wrong = failures(findings);
  if (!kernel.isSupported) return 'too old: see below';
  if (!hasRun(findings)) return 'the guest said nothing';
  const checks = Object.keys(findings.checks).length;
  return wrong.length === 0
    ? `${checks} of ${checks} checks passed`
    : `failed: ${wrong.join('; ')}`;
}

function failures({ programs, checks }: GuestFindings): string[] {
  return [...Object.entries(programs), ...Object.entries(checks)]
    .filter(([, complaint]) => complaint !== '')
    .map(([name, complaint]) => `${name} (${complaint})`);
}

/** What `procflow doctor` says there, and which programs do not load. */
function details({ kernel, findings }: KernelResult): string[] {
  const missing = findings.features
    .filter(({ found }) => !found)
    .map(({ name, detail, consequence }) => `* ${name}: ${detail}. ${consequence}.`);
  const refused = Object.entries(findings.programs)
    .filter(([, complaint]) => complaint !== '')
    .map(([name, complaint]) => `* \`${name}\` does not load: \`${complaint}\``);
  const checks = Object.entries(findings.checks).map(
    ([name, complaint]) => `* ${name}: ${complaint === '' ? 'passed' : complaint}`,
  );
  const none = missing.length === 0 ? ['* nothing is missing'] : [];
  return [`### ${kernel.series}`, '', ...missing, ...none, ...refused, ...checks, ''];
}
