// The soak for as long as is asked: prints what was found; of ten minutes and more it writes docs/soak.md.
// Usage: node build/bench/soak/main.js MINUTES [STATE-DIRECTORY]
import { writeFileSync } from 'node:fs';
import { soakFindings } from '../../test/soak/soak-findings.js';
import { runSoak } from '../../test/soak/soak.js';
import { withCleanup } from '../support/cleanup.js';
import { soakReport } from './soak-report.js';

const REPORT = 'docs/soak.md';
const LEAST_REPORTED_S = 600;

const [, , minutes = '10', stateDirectory] = process.argv;
const seconds = Number(minutes) * 60;
if (!(seconds > 0)) throw new Error(`not a number of minutes: ${minutes}`);
const result = await withCleanup((t) => runSoak(t, { seconds, stateDirectory }));
const findings = soakFindings(result);
const report = soakReport(result, findings);
process.stdout.write(report);
if (seconds >= LEAST_REPORTED_S) {
  writeFileSync(REPORT, report);
  process.stdout.write(`written: ${REPORT}\n`);
}
process.exitCode = findings.every(({ isMet }) => isMet) ? 0 : 1;
