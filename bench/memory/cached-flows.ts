// Memory by the number of flows in the cache, which grows step by step.
import { setTimeout as sleep } from 'node:timers/promises';
import { withCleanup } from '../support/cleanup.js';
import type { BenchLength } from '../support/section-text.js';
import type { MemoryRow, MemoryRows } from './memory-row.js';
import { memoryOf, startDaemon, type KernelMemory, type Stage } from './memory-stage.js';
import { makeFlows } from './traffic.js';

interface Setting {
  readonly maxFlows: number | undefined;
  /** Flows in the cache. */
  readonly steps: Readonly<Record<BenchLength, readonly number[]>>;
}

const SETTINGS: readonly Setting[] = [
  { maxFlows: undefined, steps: { short: [0, 100], full: [0, 100, 10_000] } },
  {
    maxFlows: 1_000_000,
    steps: { short: [0, 100, 10_000], full: [0, 100, 10_000, 100_000, 1_000_000] },
  },
];
/** No flow ends while they are counted. */
const LASTING = ['-t', 'maxlife=3600', '-t', 'udp=3600'];
/** The kernel allocates ahead and frees behind the programs' back. */
const SETTLE_MS = 300;
/** With fewer, what the kernel allocates ahead is more than what the flows take. */
const FLOWS_TO_DIVIDE_BY = 10_000;
const FIRST_PORT = 1000;

export async function measureCachedFlows(stage: Stage, length: BenchLength): Promise<MemoryRows> {
  const rows: MemoryRow[] = [];
  const inexact: string[] = [];
  for (const { maxFlows, steps } of SETTINGS) {
    const measured = await withCleanup((t) => fillCache({ ...stage, t }, maxFlows, steps[length]));
    rows.push(...measured.rows);
    inexact.push(...measured.inexact);
  }
  return { rows, inexact };
}

async function fillCache(
  stage: Stage,
  maxFlows: number | undefined,
  steps: readonly number[],
): Promise<MemoryRows> {
  const options = maxFlows === undefined ? [] : ['-m', String(maxFlows)];
  const daemon = await startDaemon(stage, [...LASTING, ...options]);
  const rows: MemoryRow[] = [];
  let cached = 0;
  let empty: KernelMemory | undefined;
  for (const [step, flows] of steps.entries()) {
    if (flows > cached) {
      await makeFlows(stage.t, stage.side, { flows: flows - cached, port: FIRST_PORT + step });
    }
    cached = flows;
    await sleep(SETTLE_MS);
    const kernel = daemon.kernel();
    empty ??= kernel;
    rows.push({
      name: `${maxFlows === undefined ? 'default' : `-m ${maxFlows}`}, ${flows} flows`,
      memory: [memoryOf(daemon.program)],
      ...{ kernel, maxFlows, flows, flowOctets: octetsPerFlow(kernel, empty, flows) },
    });
  }
  return { rows, inexact: await daemon.stop() };
}

function octetsPerFlow(
  kernel: KernelMemory,
  empty: KernelMemory,
  flows: number,
): number | undefined {
  if (flows < FLOWS_TO_DIVIDE_BY) return undefined;
  const octets =
    kernel.charged === undefined || empty.charged === undefined
      ? kernel.maps - empty.maps
      : kernel.charged - empty.charged;
  return octets / flows;
}
