// A part of the benchmark as text, and run alone.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Teardown } from '../../test/support/program.js';
import type { BenchSection } from '../bench-section.js';
import { withCleanup } from './cleanup.js';
import { table } from './figures.js';

export type BenchLength = 'short' | 'full';
/** A part of the benchmark. */
export type Measure = (t: Teardown, length: BenchLength) => Promise<BenchSection>;

/** Markdown. */
export function sectionText(section: BenchSection): string {
  const goals = section.goals.map(
    ({ text, measured, isMet }) => `* ${isMet ? 'met' : 'NOT MET'}: ${text}: ${measured}`,
  );
  const inexact = section.inexact.map((what) => `* NOT EXACT: ${what}`);
  const parts = [
    [`## ${section.title}`],
    section.notes,
    [table(section.header, section.rows)],
    [...goals, ...inexact],
  ];
  return parts
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

/** Whether the program that node was started with is this module. */
export function isMain(moduleUrl: string): boolean {
  const [, program] = process.argv;
  return program !== undefined && realpathSync(program) === fileURLToPath(moduleUrl);
}

/** Measures and prints; "--short" is a smoke run. */
export async function printSection(measure: Measure): Promise<void> {
  const length = process.argv.includes('--short') ? 'short' : 'full';
  const section = await withCleanup((t) => measure(t, length));
  process.stdout.write(`${sectionText(section)}\n`);
  if (section.inexact.length > 0) process.exitCode = 1;
}
