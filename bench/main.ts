// The whole benchmark, or some parts of it: prints the tables while it goes. A full run is written to
// bench/results.
// Usage: node build/bench/main.js [--short] [part]...
import { loadavg } from 'node:os';
import type { BenchSection } from './bench-section.js';
import { measureExpiry } from './traffic/expiry.js';
import { measureTraffic } from './traffic/traffic.js';
import { measureApplications } from './applications/applications.js';
import { measureContention } from './contention/contention.js';
import { measurePacketCost } from './packet/packet-cost.js';
import { measureExport } from './export/export.js';
import { measureMemory } from './memory/memory.js';
import { results, writeResults } from './results.js';
import { measureStart } from './start/start.js';
import { withCleanup } from './support/cleanup.js';
import { sectionText, type BenchLength, type Measure } from './support/section-text.js';

const PARTS = {
  packet: [measurePacketCost],
  traffic: [measureTraffic, measureExpiry],
  applications: [measureApplications],
  export: [measureExport],
  memory: [measureMemory],
  start: [measureStart],
  contention: [measureContention],
} as const satisfies Readonly<Record<string, readonly Measure[]>>;
type Part = keyof typeof PARTS;

function chosenParts(names: readonly string[]): readonly Part[] {
  const known = Object.keys(PARTS) as Part[];
  for (const name of names) {
    if (!(known as string[]).includes(name)) {
      throw new Error(`no part ${name}; there are ${known.join(', ')}`);
    }
  }
  return names.length === 0 ? known : known.filter((part) => names.includes(part));
}

interface Outcome {
  readonly sections: readonly BenchSection[];
  /** What could not be measured, and why. */
  readonly failures: readonly string[];
}

async function measureParts(parts: readonly Part[], length: BenchLength): Promise<Outcome> {
  const sections: BenchSection[] = [];
  const failures: string[] = [];
  for (const part of parts) {
    for (const measure of PARTS[part]) {
      const begun = performance.now();
      const load = loadavg()[0]?.toFixed(1) ?? '?';
      try {
        const section = await withCleanup((t) => measure(t, length));
        sections.push(section);
        print(sectionText(section));
      } catch (error) {
        failures.push(`${part}: ${error instanceof Error ? error.message : String(error)}`);
        print(`FAILED: ${failures.at(-1) ?? ''}`);
      }
      const seconds = ((performance.now() - begun) / 1000).toFixed(0);
      print(`(${part}: ${seconds} s; load average when it began: ${load})\n`);
    }
  }
  return { sections, failures };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** @returns the last line */
function verdict({ sections, failures }: Outcome): string {
  const goals = sections.flatMap((section) => section.goals);
  const inexact = sections.flatMap((section) => section.inexact);
  const met = goals.filter(({ isMet }) => isMet).length;
  return [
    `${met} of ${goals.length} goals met`,
    inexact.length === 0 ? 'every sum exact' : `${inexact.length} sums NOT EXACT`,
    ...(failures.length === 0 ? [] : [`${failures.length} parts FAILED`]),
  ].join('; ');
}

const names = process.argv.slice(2).filter((argument) => argument !== '--short');
const length = process.argv.includes('--short') ? 'short' : 'full';
const parts = chosenParts(names);
const outcome = await measureParts(parts, length);
const last = verdict(outcome);
const isWhole = length === 'full' && parts.length === Object.keys(PARTS).length;
if (isWhole && outcome.failures.length === 0) {
  print(`written: ${writeResults(results(outcome.sections, last))}`);
} else {
  print('not written to bench/results: only a full run of all parts is');
}
for (const { title, goals } of outcome.sections) {
  for (const { text, measured, isMet } of goals) {
    if (!isMet) print(`NOT MET: ${title}: ${text}: ${measured}`);
  }
}
print(last);
const isExact = outcome.sections.every(({ inexact }) => inexact.length === 0);
process.exitCode = isExact && outcome.failures.length === 0 ? 0 : 1;
