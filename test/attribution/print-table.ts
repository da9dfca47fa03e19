// `make attribution`: runs the cases and prints the table. The arguments choose cases by a
// regular expression for their names, and where to capture (interface, sockets).
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { ALL_CASES } from './all-cases.js';
import { CAPTURES, type Capture } from './meters.js';
import { runCases } from './run-cases.js';
import { tableLines } from './table.js';

async function main(pattern: string, capture: Capture): Promise<boolean> {
  const missing = missingRequirement();
  if (missing !== false) throw new Error(missing);
  const releases: (() => void | Promise<void>)[] = [];
  const t: Teardown = { teardown: (release) => void releases.push(release) };
  try {
    const chosen = ALL_CASES.filter(({ name }) => new RegExp(pattern).test(name));
    const judgement = await runCases(t, chosen, capture);
    process.stdout.write(`${tableLines(judgement).join('\n')}\n`);
    return judgement.rows.every(({ verdict }) => verdict !== 'FAIL');
  } finally {
    for (const release of releases.reverse()) await release();
  }
}

const [, , pattern = '', word = 'interface'] = process.argv;
const capture = CAPTURES.find((known) => known === word);
if (capture === undefined) throw new Error(`no such way to capture: ${word}`);
process.exitCode = (await main(pattern, capture)) ? 0 : 1;
