// What the daemon keeps in memory: resident and in the kernel, by the number of flows in the cache and at
// 10,000 packets a second. Alone: memory.js [--short]
import type { Teardown } from '../../test/support/program.js';
import type { BenchSection, Goal } from '../bench-section.js';
import { withCleanup } from '../support/cleanup.js';
import { median, medianAndSpread } from '../support/figures.js';
import { isMain, printSection, type BenchLength } from '../support/section-text.js';
import { measureCachedFlows } from './cached-flows.js';
import type { MemoryRow } from './memory-row.js';
import { KOFFI, memoryOf, openStage, startEmptyNode } from './memory-stage.js';
import { measureAtRate } from './packet-rate.js';

const MIB = 1 << 20;
const MOST_RESIDENT_MIB = 64;
const MOST_FLOW_OCTETS = 256;
/** What a hundred flows may cost more where there is room for a million. */
const MOST_FOR_ROOM_MIB = 1;

export async function measureMemory(t: Teardown, length: BenchLength): Promise<BenchSection> {
  const stage = await openStage(t);
  const rows: MemoryRow[] = await withCleanup(async (own) => [
    { name: 'empty node process', memory: [memoryOf(await startEmptyNode(own))] },
    { name: 'node with koffi', memory: [memoryOf(await startEmptyNode(own, KOFFI))] },
  ]);
  const cached = await measureCachedFlows(stage, length);
  const atRate = await measureAtRate(stage, length);
  rows.push(...cached.rows, ...atRate.rows);
  return {
    title: 'Memory',
    notes: [
      'Resident memory of the daemon (its own: what it shares with nobody), MiB, and what the kernel keeps ' +
        'for it: as charged to a memory cgroup of its own, with what allocators round up, and as its maps ' +
        'tell it. The octets a flow are what is charged beyond the cache without flows.',
      'At 10,000 packets a second samples are taken while IPFIX is exported. Published for a matcher of ' +
        'packets and processes (TUM): 40 MiB with packets of 64 octets, 68 MiB with 1500.',
    ],
    header: ['', 'resident', 'own', 'most', 'kernel', 'of maps', 'octets a flow'],
    rows: rows.map(cells),
    goals: goals(rows),
    inexact: [...cached.inexact, ...atRate.inexact],
  };
}

function cells({ name, memory, kernel, flowOctets }: MemoryRow): readonly string[] {
  const mib = (octets: number | undefined): string =>
    octets === undefined ? '-' : (octets / MIB).toFixed(1);
  const resident = memory.map((each) => each.resident / MIB);
  return [
    name,
    resident.length > 1 ? medianAndSpread(resident, 1) : (resident[0]?.toFixed(1) ?? '-'),
    mib(median(memory.map((each) => each.own))),
    mib(Math.max(...memory.map((each) => each.peak))),
    mib(kernel?.charged),
    mib(kernel?.maps),
    flowOctets?.toFixed(0) ?? '-',
  ];
}

function goals(rows: readonly MemoryRow[]): Goal[] {
  const atRate = rows.filter(({ isAtRate }) => isAtRate === true);
  const resident = Math.max(
    ...atRate.map(({ memory }) => median(memory.map((each) => each.resident / MIB))),
  );
  const flowOctets = Math.max(...rows.map((row) => row.flowOctets ?? 0));
  const [small, large] = [undefined, 1_000_000].map(
    (maxFlows) => rows.find((row) => row.flows === 100 && row.maxFlows === maxFlows)?.kernel,
  );
  const roomMib =
    ((large?.charged ?? large?.maps ?? 0) - (small?.charged ?? small?.maps ?? 0)) / MIB;
  return [
    {
      text: `resident at 10,000 packets a second at most ${MOST_RESIDENT_MIB} MiB`,
      measured: `${resident.toFixed(1)} MiB`,
      isMet: resident <= MOST_RESIDENT_MIB,
    },
    {
      text: `kernel memory per flow at most ${MOST_FLOW_OCTETS} octets`,
      measured: `${flowOctets.toFixed(0)} octets`,
      isMet: flowOctets <= MOST_FLOW_OCTETS,
    },
    {
      text: `100 flows with room for 1,000,000 cost at most ${MOST_FOR_ROOM_MIB} MiB more than with the default`,
      measured: `${roomMib.toFixed(1)} MiB`,
      isMet: roomMib <= MOST_FOR_ROOM_MIB,
    },
  ];
}

if (isMain(import.meta.url)) await printSection(measureMemory);
