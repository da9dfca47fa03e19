// Memory while 10,000 packets a second are metered and exported.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Program } from '../../test/support/program.js';
import { withCleanup } from '../support/cleanup.js';
import type { BenchLength } from '../support/section-text.js';
import type { MemoryRow, MemoryRows } from './memory-row.js';
import { memoryOf, startDaemon, startSoftflowd, type Memory, type Stage } from './memory-stage.js';
import { makeFlows, sendAtRate } from './traffic.js';

interface Scenario {
  readonly name: string;
  /** Undefined: each packet is a flow of its own. */
  readonly frameOctets: number | undefined;
  readonly options: readonly string[];
}

const SCENARIOS: readonly Scenario[] = [
  { name: '64 octets, 256 flows', frameOctets: 64, options: [] },
  { name: '1500 octets, 256 flows', frameOctets: 1500, options: [] },
  { name: 'each packet a flow', frameOctets: undefined, options: ['-t', 'udp=1'] },
];
const RATE = 10_000;
const SECONDS: Readonly<Record<BenchLength, number>> = { short: 2, full: 8 };
const SAMPLE_MS = 250;
const MAX_FLOWS = 65_536;
const FLOWS = 256;
const PORT = 2000;

export async function measureAtRate(stage: Stage, length: BenchLength): Promise<MemoryRows> {
  const rows: MemoryRow[] = [];
  const inexact: string[] = [];
  for (const scenario of SCENARIOS) {
    const measured = await withCleanup((t) =>
      runDaemon({ ...stage, t }, scenario, SECONDS[length]),
    );
    rows.push(...measured.rows);
    inexact.push(...measured.inexact);
    const memory = await withCleanup(async (t) => {
      const softflowd = await startSoftflowd({ ...stage, t }, MAX_FLOWS);
      return sample({ ...stage, t }, scenario, softflowd, SECONDS[length]);
    });
    rows.push({ name: `softflowd, ${scenario.name}`, memory });
  }
  return { rows, inexact };
}

async function runDaemon(stage: Stage, scenario: Scenario, seconds: number): Promise<MemoryRows> {
  const daemon = await startDaemon(stage, scenario.options);
  const memory = await sample(stage, scenario, daemon.program, seconds);
  const kernel = daemon.kernel();
  const name = `10,000 packets/s: ${scenario.name}`;
  return { rows: [{ name, memory, kernel, isAtRate: true }], inexact: await daemon.stop() };
}

async function sample(
  { t, side, cgroup }: Stage,
  { frameOctets }: Scenario,
  program: Program,
  seconds: number,
): Promise<readonly Memory[]> {
  const over = new AbortController();
  const samples: Memory[] = [];
  const traffic =
    frameOctets === undefined
      ? makeFlows(t, side, { flows: RATE * seconds, port: PORT, rate: RATE })
      : sleep(1000 * seconds);
  const sender =
    frameOctets === undefined
      ? undefined
      : sendAtRate(t, { namespace: side, cgroup }, { rate: RATE, frameOctets, flows: FLOWS });
  const end = traffic.finally(() => {
    over.abort();
  });
  while (!over.signal.aborted) {
    await sleep(SAMPLE_MS);
    samples.push(memoryOf(program));
  }
  await end;
  // The packets that are under way belong to the count.
  await sender?.stop();
  return samples;
}
