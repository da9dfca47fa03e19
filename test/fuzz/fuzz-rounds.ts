// Runs rounds of hostile input until time is over. What a round does follows from the seed and its
// number, so that one that fails can be repeated alone; and nothing may be left of the rounds.
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Test } from 'tap';
import { Random } from './random.js';

export interface FuzzOptions {
  /** Of FUZZ_SECONDS: how much of it this one takes. */
  readonly share: number;
  /** What is counted: "packets". */
  readonly cases: string;
  /** Of FUZZ_CASES: there are so many at least, however long it takes; default: none. */
  readonly leastShare?: number;
  /** @returns how many cases there were @throws what is wrong */
  readonly round: (random: Random) => number | Promise<number>;
}

/** Of all of test/fuzz/ together. */
const DEFAULT_SECONDS = 45;
/** The same in every run of the tests: whoever changes something is told of his own defects only. */
const DEFAULT_SEED = 7;
const WARM_UP_SHARE = 0.25;
const MIB = 2 ** 20;
const SETTLING_MS = 20;
const SETTLING_TURNS = 500;
/** Of the heap and buffers, after a garbage collection, from the end of the warm-up to the end. */
const MAX_HEAP_GROWTH_MIB = 8;
/** The allocator gives back late what was free'd. */
const MAX_RESIDENT_GROWTH_MIB = 96;

interface Resources {
  readonly heapMib: number;
  readonly residentMib: number;
  readonly descriptors: number;
}

function numberFrom(name: string, otherwise: number): number {
  const text = process.env[name] ?? '';
  return text === '' ? otherwise : Number(text);
}

export const SEED = numberFrom('FUZZ_SEED', DEFAULT_SEED);

/** How long a share of all the time is. */
export function fuzzMs(share: number): number {
  return share * 1000 * numberFrom('FUZZ_SECONDS', DEFAULT_SECONDS);
}

/** Rounds until the time is over, at least two; or the one of FUZZ_ROUND. */
export async function fuzz(t: Test, title: string, options: FuzzOptions): Promise<void> {
  const { share, cases, leastShare = 0 } = options;
  const leastCases = leastShare * numberFrom('FUZZ_CASES', 0);
  const only = numberFrom('FUZZ_ROUND', -1);
  if (only >= 0) {
    t.comment(`round ${only} of seed ${SEED}: ${await runRound(title, only, options)} ${cases}`);
    t.pass('once');
    return;
  }
  const begin = performance.now();
  const endMs = begin + fuzzMs(share);
  const warmMs = begin + fuzzMs(share) * WARM_UP_SHARE;
  let before: Resources | undefined;
  let count = 0;
  let rounds = 0;
  while (rounds < 2 || performance.now() < endMs || count < leastCases) {
    count += await runRound(title, rounds++, options);
    if (before === undefined && performance.now() >= warmMs) before = resources();
  }
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  t.comment(`${count} ${cases} in ${rounds} rounds and ${seconds} s, seed ${SEED}`);
  if (before !== undefined) expectNoLeak(t, before, await settled(before));
}

async function runRound(title: string, number: number, { round }: FuzzOptions): Promise<number> {
  try {
    return await round(new Random(SEED, title, number));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const repeat = `FUZZ_SEED=${SEED} FUZZ_ROUND=${number}`;
    throw new Error(`${reason}\nrepeat it with ${repeat} in the environment`, { cause });
  }
}

function expectNoLeak(t: Test, before: Resources, after: Resources): void {
  const { descriptors } = before;
  t.ok(after.descriptors <= descriptors, `${after.descriptors} descriptors, before ${descriptors}`);
  const heap = after.heapMib - before.heapMib;
  t.ok(heap < MAX_HEAP_GROWTH_MIB, `the heap grew by ${heap.toFixed(1)} MiB`);
  const resident = after.residentMib - before.residentMib;
  t.ok(resident < MAX_RESIDENT_GROWTH_MIB, `the memory grew by ${resident.toFixed(1)} MiB`);
}

/** What is being closed needs a turn of the event loop, or several. */
async function settled(before: Resources): Promise<Resources> {
  for (let i = 0; i < SETTLING_TURNS; i++) {
    if (countDescriptors() <= before.descriptors) break;
    await sleep(SETTLING_MS);
  }
  return resources();
}

function countDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function resources(): Resources {
  collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  return {
    heapMib: (heapUsed + external) / MIB,
    residentMib: rss / MIB,
    descriptors: countDescriptors(),
  };
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What has a finalizer goes with the second one.
  collect();
  collect();
}
