// make fuzz: the tests of test/fuzz/ for as long as is wanted, one after the other, each time with other cases.
// Usage: node run-fuzz.js MINUTES [SEED [PART]...]
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

const FOLDER = 'test/fuzz';
/** Of packets and of messages, however long it takes. */
const LEAST_CASES = 1_000_000;
const MAX_SEED = 2 ** 32;

/** "# 905154 frames in 226 rounds and 2.7 s, seed 7" */
const COUNT = /^\s*# (\d+ .* rounds and .*)$/;
const TITLE = /^# Subtest: (.*)$/;

/** @returns whether it passed; prints how many cases there were, or all that it said */
async function runPart(name: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  const file = `build/${FOLDER}/${name}.test.js`;
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  });
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const lines: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    const [, title] = TITLE.exec(line) ?? [];
    const [, count] = COUNT.exec(line) ?? [];
    if (title !== undefined) process.stdout.write(`${name}: ${title}\n`);
    if (count !== undefined) process.stdout.write(`  ${count}\n`);
  }
  const [code, signal] = await exit;
  if (code === 0) return true;
  process.stdout.write(`${lines.join('\n')}\n${name} ended with ${String(code ?? signal)}\n`);
  return false;
}

const [minutes = '5', seedText = '', ...wanted] = process.argv.slice(2);
if (!(Number(minutes) > 0)) throw new RangeError(`MINUTES=${minutes} is no number of minutes`);
const seed = seedText === '' ? randomInt(MAX_SEED) : Number(seedText);
const parts = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => name.replace(/\.test\.ts$/, ''))
  .filter((name) => wanted.length === 0 || wanted.includes(name))
  .sort();
if (parts.length === 0) throw new RangeError(`no part ${wanted.join(', ')} in ${FOLDER}`);
process.stdout.write(`seed ${seed}, ${minutes} minutes for all parts\n`);
let failed = 0;
for (const name of parts) {
  const isPassed = await runPart(name, {
    ...process.env,
    FUZZ_SECONDS: String(60 * Number(minutes)),
    FUZZ_SEED: String(seed),
    FUZZ_CASES: String(LEAST_CASES),
    TAP_TIMEOUT: '0',
  });
  if (!isPassed) failed++;
}
process.stdout.write(`${parts.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
