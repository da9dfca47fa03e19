// The table of cases as a test: every flow of every case has its process, and no other.
import t from 'tap';
import { missingRequirement } from '../support/requirements.js';
import { ALL_CASES } from './all-cases.js';
import { runCases } from './run-cases.js';

/** The whole table, on a machine that does other things as well. */
const TIMEOUT_MS = 300_000;

t.setTimeout(TIMEOUT_MS);
t.test('every flow has its process', { skip: missingRequirement() }, async (t) => {
  const { rows, totals } = await runCases(t, ALL_CASES);
  for (const { name, family, verdict, reasons } of rows) {
    const title = `${name}${family === '' ? '' : `, ${family}`}`;
    if (verdict === 'PASS' || verdict === 'FAIL') t.same(reasons, [], title);
    else t.comment(`${verdict}: ${title}: ${reasons.join('; ')}`);
  }
  for (const { meter, attributed } of totals) t.ok(attributed > 0, `${meter} names processes`);
});
