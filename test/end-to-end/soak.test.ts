// The soak for as long as SOAK_SECONDS says (`make soak MINUTES=10` writes a report of it).
import t from 'tap';
import { missingRequirement } from '../support/requirements.js';
import { soakFindings } from '../soak/soak-findings.js';
import { runSoak } from '../soak/soak.js';

const skip = missingRequirement('bpftool');
/** Each event once; a collector over TCP is killed from a minute on. */
const DEFAULT_SECONDS = 1;
const seconds = Number(process.env.SOAK_SECONDS ?? DEFAULT_SECONDS);
const stateDirectory = process.env.SOAK_STATE;

t.setTimeout((seconds + 240) * 1000);

t.test(`what collectors received is what was on the wire, ${seconds} s`, { skip }, async (t) => {
  const result = await runSoak(t, { seconds, stateDirectory });
  t.comment(JSON.stringify(result.events));
  for (const { what, isMet, found } of soakFindings(result)) t.ok(isMet, `${what}: ${found}`);
});
