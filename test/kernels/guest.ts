// What `make kernels` does in each of its guests, as root: `procflow doctor`, each program by itself, the tables
// of packets, and traffic to a collector.
import { spawnSync } from 'node:child_process';
import { checkKernel } from '../../src/daemon/check-kernel.js';
import type { Teardown } from '../support/program.js';
import { PROJECT_ROOT } from '../support/requirements.js';
import { exportToCollector, EXPORT_RUNS } from './guest-export.js';
import { findingLine } from './guest-report.js';
import { loadEach } from './load-each.js';

/** Few enough for some minutes of emulation. */
const TESTS = ['kernel/parse-packets', 'kernel/plain-packets'] as const;
const TEST_LIMIT_MS = 8 * 60_000;

function main(): Promise<void> {
  const { features, canRun } = checkKernel();
  process.stdout.write(findingLine({ features, programs: loadEach() }));
  return canRun ? runChecks() : Promise.resolve();
}

async function runChecks(): Promise<void> {
  for (const name of TESTS) tell(name, runTest(name));
  for (const run of EXPORT_RUNS) {
    tell(run.name, await withTeardown((t) => exportToCollector(t, run)));
  }
}

function tell(name: string, complaint: string): void {
  process.stdout.write(findingLine({ checks: { [name]: complaint } }));
}

function runTest(name: string): string {
  const { status, stdout } = spawnSync(process.execPath, [`build/test/${name}.test.js`], {
    cwd: PROJECT_ROOT,
    encoding: 'utf8',
    env: { ...process.env, TAP_TIMEOUT: '0' },
    timeout: TEST_LIMIT_MS,
    maxBuffer: 2 ** 26,
  });
  if (status === 0) return '';
  const failed = /^ *not ok .*$/m.exec(stdout)?.[0].trim();
  return failed ?? `ended with ${status ?? 'a signal'}`;
}

async function withTeardown(run: (t: Teardown) => Promise<string>): Promise<string> {
  const releases: (() => void | Promise<void>)[] = [];
  try {
    return await run({ teardown: (release) => void releases.push(release) });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    for (const release of releases.reverse()) await release();
  }
}

await main();
