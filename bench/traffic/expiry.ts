// Exactness while flows expire: two CPUs send into the same flows as fast as they can, and each flow is
// exported ten times a second.
// Usage: node build/bench/traffic/expiry.js [--short]
import { availableParallelism } from 'node:os';
import { startGenerator } from '../../test/support/generators.js';
import type { Report } from '../../test/support/program.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import type { BenchSection } from '../bench-section.js';
import { withCleanup } from '../support/cleanup.js';
import { NOBODY } from '../support/nobody.js';
import { createQuietWire, sentOver, type WireCount } from '../support/quiet-wire.js';
import { isMain, printSection, type BenchLength } from '../support/section-text.js';
import { startWireNfcapd, type Collected } from '../support/wire-nfcapd.js';
import type { Summary } from '../../test/support/procflow.js';
import { unequalSums } from './exact-sums.js';
import { EXPORTERS } from './exporters.js';

const SENDERS = 2;
const FLOWS = [1, 256] as const;
const FRAMES = { full: 1_500_000, short: 100_000 } as const; // of each sender
const PAYLOAD_OCTETS = 18;
const FRAME_OCTETS = 14 + 20 + 8 + PAYLOAD_OCTETS;
const TIMEOUT_S = '0.1';

interface ExpiryRun {
  readonly name: string;
  readonly flows: number;
  readonly seconds: number;
  readonly wire: WireCount;
  readonly summary: Summary;
  readonly collected: Collected;
}

export async function measureExpiry(_t: unknown, length: BenchLength): Promise<BenchSection> {
  const runs: ExpiryRun[] = [];
  for (const flows of FLOWS) runs.push(await runExpiry(flows, FRAMES[length]));
  return {
    title: 'Exactness while flows expire',
    notes: [
      `${SENDERS} programs on ${Math.min(SENDERS, availableParallelism())} CPUs send into the same flows as fast as they can; ` +
        `both timeouts are ${TIMEOUT_S} s. Every sum must be the interface’s.`,
    ],
    header: ['', 'packets/s', 'records', 'packets', 'in records', 'octets', 'octets in records'],
    rows: runs.map(({ name, seconds, wire, collected }) => [
      name,
      (wire.packets / seconds).toFixed(0),
      String(collected.records),
      String(wire.packets),
      String(collected.packets),
      String(wire.octets),
      String(collected.octets),
    ]),
    goals: runs.map(({ name, wire, collected }) => ({
      text: `${name}: no packet lost or counted twice`,
      measured: `${collected.packets - wire.packets} packets, ${collected.octets - wire.octets} octets of difference`,
      isMet: collected.packets === wire.packets && collected.octets === wire.octets,
    })),
    inexact: runs.flatMap(({ name, wire, summary, collected }) =>
      unequalSums(name, wire, summary, collected),
    ),
  };
}

function runExpiry(flows: number, frames: number): Promise<ExpiryRun> {
  return withCleanup(async (t) => {
    const pair = createQuietWire(t);
    const place = { namespace: pair.a, cgroup: createCgroup(t) };
    const { interfaceName, ipv4 } = pair.a;
    const nfcapd = await startWireNfcapd(t, place);
    const options = ['--active-timeout', TIMEOUT_S, '--idle-timeout', TIMEOUT_S];
    const exporter = await EXPORTERS.procflow({ t, place, interfaceName, options });
    const before = sentOver(pair, FRAME_OCTETS);
    const start = performance.now();
    const senders = Array.from({ length: SENDERS }, (_, i) =>
      startGenerator(
        t,
        place,
        'frame-sender',
        ...['--interface', interfaceName, '--destination-mac', NOBODY.mac],
        ...['--source', ipv4, '--to', NOBODY.ipv4, '--port', 7, '--size', PAYLOAD_OCTETS],
        ...['--count', frames, '--flows', flows, '--cpu', i % availableParallelism()],
      ),
    );
    const reports: Report[] = [];
    for (const sender of senders) {
      await sender.ended;
      reports.push(await sender.report('done'));
    }
    const seconds = (performance.now() - start) / 1000;
    const after = sentOver(pair, FRAME_OCTETS);
    const { summary } = await exporter.stop();
    if (summary === undefined) throw new Error('procflow gave no summary');
    return {
      name: flows === 1 ? 'one flow' : `${flows} flows`,
      flows,
      seconds,
      wire: { packets: after.packets - before.packets, octets: after.octets - before.octets },
      summary,
      collected: await nfcapd.stop(),
    };
  });
}

if (isMain(import.meta.url)) await printSection(measureExpiry);
