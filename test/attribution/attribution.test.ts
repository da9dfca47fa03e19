// The table of cases as a test: every flow of every case has its process, and no other.
import t, { type Test } from 'tap';
import { missingRequirement } from '../support/requirements.js';
import { ALL_CASES } from './all-cases.js';
import { CLIENT_CASES } from './cases/clients.js';
import { SERVER_CASES } from './cases/servers.js';
import type { Judgement } from './judge.js';
import { CAPTURES } from './meters.js';
import { runCases } from './run-cases.js';

const skip = missingRequirement();
/** The whole table, on a machine that does other things as well. */
const TIMEOUT_MS = 300_000;

function expectPassed(t: Test, { rows, totals }: Judgement): void {
  for (const { name, family, verdict, reasons } of rows) {
    const title = `${name}${family === '' ? '' : `, ${family}`}`;
    if (verdict === 'PASS' || verdict === 'FAIL') t.same(reasons, [], title);
    else t.comment(`${verdict}: ${title}: ${reasons.join('; ')}`);
  }
  for (const { meter, attributed } of totals) t.ok(attributed > 0, `${meter} names processes`);
}

t.setTimeout(TIMEOUT_MS);
for (const capture of CAPTURES) {
  const where = { interface: 'at interfaces', sockets: 'at sockets' }[capture];
  t.test(`every flow has its process, metered ${where}`, { skip }, async (t) => {
    expectPassed(t, await runCases(t, ALL_CASES, capture));
  });
}

t.test(
  'two network namespaces have the same addresses, and a procflow each',
  { skip },
  async (t) => {
    const cases = [...CLIENT_CASES, ...SERVER_CASES];
    const both = await Promise.all([runCases(t, cases), runCases(t, cases)]);
    for (const judgement of both) expectPassed(t, judgement);
  },
);
