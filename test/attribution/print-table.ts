// `make attribution`: runs the cases and prints the table. An argument chooses cases by a regular
// expression for their names.
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { ALL_CASES } from './all-cases.js';
import { runCases } from './run-cases.js';
import { tableLines } from './table.js';

async function main(pattern: string): Promise<boolean> {
  const missing = missingRequirement();
  if (missing !== false) throw new Error(missing);
  const releases: (() => void | Promise<void>)[] = [];
  const t: Teardown = { teardown: (release) => void releases.push(release) };
  try {
    const chosen = ALL_CASES.filter(({ name }) => new RegExp(pattern).test(name));
    const judgement = await runCases(t, chosen);
    process.stdout.write(`${tableLines(judgement).join('\n')}\n`);
    return judgement.rows.every(({ verdict }) => verdict !== 'FAIL');
  } finally {
    for (const release of releases.reverse()) await release();
  }
}

process.exitCode = (await main(process.argv[2] ?? '')) ? 0 : 1;
