// `make kernels`: boots each kernel of the matrix, and writes what came out into docs/kernels.md. Arguments
// choose kernels by their series; then nothing is written.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../support/requirements.js';
import { NO_FINDINGS, withLine, type GuestFindings } from './guest-report.js';
import { kernelImage } from './kernel-image.js';
import { KERNEL_MATRIX, type MatrixKernel } from './kernel-matrix.js';
import { isAsExpected, tableOf, withTable, type KernelResult } from './kernel-table.js';
import { runGuest } from './virtual-machine.js';

const CACHE = join(PROJECT_ROOT, 'build/kernels');
const DOCUMENT = join(PROJECT_ROOT, 'docs/kernels.md');
const SCRIPT = join(PROJECT_ROOT, 'build/test/kernels/guest.js');

async function runKernel(kernel: MatrixKernel): Promise<KernelResult> {
  const image = kernelImage(kernel, CACHE);
  process.stdout.write(`booting ${image.release}\n`);
  let findings = NO_FINDINGS;
  await runGuest(image, {
    script: SCRIPT,
    onLine: (line) => {
      const known = findings;
      findings = withLine(findings, line);
      const said = findings === known ? [line] : newsOf(known, findings);
      for (const text of said) process.stdout.write(`  ${text}\n`);
    },
  });
  return { kernel, release: image.release, findings };
}

/** For whoever waits. */
function newsOf(known: GuestFindings, now: GuestFindings): readonly string[] {
  const news = Object.entries({ ...now.programs, ...now.checks }).filter(
    ([name]) => !(name in known.programs || name in known.checks),
  );
  return news.map(([name, complaint]) => `${name}: ${complaint === '' ? 'good' : complaint}`);
}

async function main(series: readonly string[]): Promise<boolean> {
  const chosen = KERNEL_MATRIX.filter(
    (kernel) => series.length === 0 || series.includes(kernel.series),
  );
  if (process.arch !== 'x64') throw new Error('the kernels of the matrix are for x86-64');
  if (process.getuid?.() !== 0) throw new Error('needs root: it shares all files with the guest');
  if (chosen.length === 0) throw new Error(`no such kernel: ${series.join(' ')}`);
  const results: KernelResult[] = [];
  for (const kernel of chosen) results.push(await runKernel(kernel));
  process.stdout.write(`\n${tableOf(results)}\n`);
  if (chosen.length === KERNEL_MATRIX.length) {
    writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, 'utf8'), results));
  }
  return results.every(isAsExpected);
}

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
