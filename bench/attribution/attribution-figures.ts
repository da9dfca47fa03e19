// Measures what docs/attribution-figures.md says, and writes it there between the markers.
// Usage: node build/bench/attribution/attribution-figures.js [rate|polling|cost]...
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { measureCost } from './attribution-cost.js';
import type { Figures } from '../support/figures.js';
import { machineFacts } from '../support/machine.js';
import { comparePolling } from './polling-comparison.js';
import { repeatRateExperiment } from './rate-experiment.js';

const DOCUMENT = join(PROJECT_ROOT, 'docs/attribution-figures.md');
const ROUNDS = 5;

const PARTS: Readonly<Record<string, () => Promise<Figures>>> = {
  rate: () => repeatRateExperiment(ROUNDS),
  polling: comparePolling,
  cost: () => measureCost('full'),
};

/** What the figures depend on. */
function machine(): string {
  const { kernel, cores, cpu, memoryGib, node, load } = machineFacts();
  return [
    `${kernel}, ${cores} CPUs ${cpu}, ${memoryGib} GiB,`,
    `Node ${node}. Load average when this part began: ${load}.`,
  ].join(' ');
}

function replacePart(document: string, name: string, text: string): string {
  const [begin, end] = [`<!-- figures: ${name} -->`, '<!-- end -->'];
  const from = document.indexOf(begin);
  const to = document.indexOf(end, from);
  if (from === -1 || to === -1) throw new Error(`${DOCUMENT}: no "${begin}" ... "${end}"`);
  return `${document.slice(0, from)}${begin}\n${text}\n${document.slice(to)}`;
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PARTS);
for (const name of names) {
  const measure = PARTS[name];
  if (measure === undefined) throw new Error(`no part ${name}: ${Object.keys(PARTS).join(', ')}`);
  const conditions = machine();
  const { text, isGood } = await measure();
  process.stdout.write(`\n${name}: ${conditions}\n\n${text}\n`);
  const document = readFileSync(DOCUMENT, 'utf8');
  writeFileSync(DOCUMENT, replacePart(document, name, `${conditions}\n\n${text}`));
  if (!isGood) process.exitCode = 1;
}
