// The cost of attribution: what procflow adds to a send or receive call. To a packet: bench/packet.
// Usage: node build/bench/attribution/attribution-cost.js [--short]
import { fileURLToPath } from 'node:url';
import { measureCallCost, type CallCost, type CallTimes } from './call-cost.js';
import { withCleanup } from '../support/cleanup.js';
import { median, medianAndSpread, table, type Figures } from '../support/figures.js';

/** What a call may cost more than with empty programs, when its socket's owner did not change. */
const LIMIT_NS = 150;

const LENGTHS = {
  short: { rounds: 5, repetitions: 3, batches: 1000 },
  full: { rounds: 15, repetitions: 15, batches: 2000 },
} as const;

export async function measureCost(length: keyof typeof LENGTHS): Promise<Figures> {
  return withCleanup(async (t) => {
    const calls = await measureCallCost(t, LENGTHS[length]);
    return {
      text: [callTable(calls), disturbance(calls), verdict(calls.calls), runsTable(calls)]
        .filter((part) => part !== '')
        .join('\n\n'),
      isGood: worst(calls.calls, 'empty').addedNs <= LIMIT_NS,
    };
  });
}

/** Differences are taken within a round: its settings followed each other closely. */
function added({ ns }: CallTimes, over: 'nothing' | 'empty'): readonly number[] {
  return ns.procflow.map((value, round) => value - (ns[over][round] ?? NaN));
}

function callTable({ calls }: CallCost): string {
  return table(
    ['ns a call', 'nothing', 'empty programs', 'procflow', 'added', 'added to empty programs'],
    calls.map((call) => [
      call.call,
      median(call.ns.nothing).toFixed(0),
      median(call.ns.empty).toFixed(0),
      median(call.ns.procflow).toFixed(0),
      medianAndSpread(added(call, 'nothing'), 0),
      medianAndSpread(added(call, 'empty'), 0),
    ]),
  );
}

interface Worst {
  readonly call: string;
  readonly addedNs: number;
}

function worst(calls: readonly CallTimes[], over: 'nothing' | 'empty'): Worst {
  return calls
    .map((call) => ({ call: call.call, addedNs: median(added(call, over)) }))
    .reduce((most, next) => (next.addedNs > most.addedNs ? next : most));
}

function verdict(calls: readonly CallTimes[]): string {
  const { call, addedNs } = worst(calls, 'empty');
  const hooks = worst(calls, 'nothing');
  const isKept = addedNs <= LIMIT_NS ? 'kept' : 'EXCEEDED';
  return (
    `Most is added to empty programs in "${call}": ${addedNs.toFixed(0)} ns; ` +
    `the limit of ${LIMIT_NS} ns is ${isKept}. With the kernel's own way to the hooks most is added ` +
    `to "${hooks.call}": ${hooks.addedNs.toFixed(0)} ns.`
  );
}

function disturbance({ disturbedRounds }: CallCost): string {
  if (disturbedRounds === 0) return '';
  return (
    `In ${disturbedRounds} of the rounds other BPF programs were attached, perhaps at the same hooks: ` +
    'then calls with nothing attached take too long, and what is added is more than shown.'
  );
}

function runsTable({ runs }: CallCost): string {
  const emptyNs = new Map(runs.empty.map(({ name, ns, runs }) => [name, ns / runs]));
  return table(
    ['ns a run, by the kernel’s statistics', 'runs', 'empty', 'procflow'],
    runs.procflow.map(({ name, ns, runs }) => [
      name,
      String(runs),
      emptyNs.get(name)?.toFixed(0) ?? '-',
      (ns / runs).toFixed(0),
    ]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isShort = process.argv[2] === '--short';
  const cost = await measureCost(isShort ? 'short' : 'full');
  process.stdout.write(`${cost.text}\n`);
  // Five rounds are too few for a verdict on a busy machine; the full run gives one.
  process.exitCode = cost.isGood || isShort ? 0 : 1;
}
