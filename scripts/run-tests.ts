// Runs the compiled tests under tap and ends with the line "N passed, N failed".
// With CI set in the environment a skipped test counts as failed, because CI can install what it
// lacks.
// Usage: node run-tests.js [FOLDER-OR-FILE below test/]...
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stripVTControlCharacters } from 'node:util';
import { inOrder, runsAlone } from './serial-tests.js';
import { countTests, type TestCount } from './tap-count.js';

const TAP = 'node_modules/tap/dist/esm/run.mjs';

/** Compiled tests whose source still exists: build/ may hold the leavings of deleted ones. */
function compiledTests(places: readonly string[]): string[] {
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => `test/${path}`)
    .filter((path) => places.length === 0 || places.some((place) => path.startsWith(place)))
    .map((path) => `build/${path.replace(/\.ts$/, '.js')}`)
    .sort();
}

/** tap's exit code. On a terminal it shows its progress; elsewhere only what failed, plainly. */
async function runTap(files: readonly string[], output: string): Promise<number> {
  const isTTY = process.stdout.isTTY;
  const alone = files.filter(runsAlone).map((file) => `--serial=${file}`);
  const reporter = isTTY ? [] : ['--reporter=min'];
  const args = [TAP, 'run', ...reporter, `--output-file=${output}`, ...alone];
  // tap asks npm for a path at its first start; npm's own remarks are of no interest here.
  const env = { ...process.env, npm_config_loglevel: 'error' };
  const stdout = isTTY ? 'inherit' : 'pipe';
  const child = spawn(process.execPath, [...args, ...inOrder(files)], {
    stdio: ['ignore', stdout, 'inherit'],
    env,
  });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  if (child.stdout !== null) {
    // tap moves the cursor also where there is none, which would spoil the line with the count.
    for await (const line of createInterface(child.stdout)) {
      const text = stripVTControlCharacters(line);
      if (text !== '' || line === '') process.stdout.write(`${text}\n`);
    }
  }
  return (await exit)[0] ?? 1;
}

async function runTests(places: readonly string[]): Promise<boolean> {
  const files = compiledTests(places);
  if (files.length === 0) throw new Error(`no tests in ${places.join(', ') || 'test/'}`);
  const directory = mkdtempSync(join(tmpdir(), 'procflow-tests-'));
  let exitCode: number;
  let count: TestCount;
  try {
    const output = join(directory, 'output.tap');
    exitCode = await runTap(files, output);
    count = countTests(readFileSync(output, 'utf8'));
  } finally {
    rmSync(directory, { recursive: true });
  }
  return report(exitCode, count);
}

/** Whether all is well. */
function report(exitCode: number, count: TestCount): boolean {
  const { passed, failed: failedTests, skipped, failures } = count;
  const isCI = (process.env.CI ?? '') !== '';
  let failed = failedTests;
  for (const title of skipped) {
    if (isCI) failed++;
    process.stdout.write(`${isCI ? 'failed, because CI must not skip' : 'skipped'}: ${title}\n`);
  }
  // tap's reporter shows them on a terminal; elsewhere it can end before it has.
  if (!process.stdout.isTTY) for (const text of failures) process.stdout.write(`${text}\n`);
  if (exitCode !== 0 && failed === 0) {
    process.stdout.write(`tap ended with exit code ${exitCode}\n`);
    failed = 1;
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0;
}

const places = process.argv.slice(2).map((place) => place.replace(/^(?!test\/)/, 'test/'));
process.exitCode = (await runTests(places)) ? 0 : 1;
