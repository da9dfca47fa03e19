// The claim of docs/adr/0018-one-word-counters.md: two CPUs send into the same flows, and sweeps run
// without a pause. Nothing is lost or counted twice, and each record is consistent by itself.
import { availableParallelism } from 'node:os';
import t from 'tap';
import {
  openKernelFlowSource,
  type KernelFlowSource,
} from '../../src/bpf-loader/kernel-flow-source.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { SweepScope } from '../../src/flow/flow-source.js';
import { startGenerator } from '../support/generators.js';
import { bringUp, createNamespacePair } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';
import type { FlowTimeouts } from '../../src/flow/flow-timeouts.js';
import { timeoutsOf } from '../support/timeouts.js';

const skip =
  missingRequirement() || (availableParallelism() < 2 && 'needs two CPUs that send at once');
const FRAMES = 1_000_000;
const FLOWS = 256;
const PORT = 23;
const PAYLOAD_OCTETS = 18;
const IP_OCTETS = 20 + 8 + PAYLOAD_OCTETS;

interface Case {
  readonly name: string;
  readonly timeouts: FlowTimeouts;
  readonly maxFlows: number;
  /** Packets without a place go through a ring buffer, which a busy machine lets run full. */
  readonly mayLose?: true;
}
const CASES: readonly Case[] = [
  { name: 'active timeout 0', timeouts: timeoutsOf(Infinity, 0), maxFlows: 65536 },
  { name: 'idle timeout 0', timeouts: timeoutsOf(0), maxFlows: 65536 },
  { name: 'both 1 ms', timeouts: timeoutsOf(1, 1), maxFlows: 65536 },
  { name: 'a cache too small', timeouts: timeoutsOf(1, 5), maxFlows: 200, mayLose: true },
];

interface Tally {
  records: number;
  packets: number;
  octets: number;
  /** Records whose octets are not their packets times the length of each. */
  inconsistent: number;
}

async function sweepInto(
  tally: Tally,
  source: KernelFlowSource,
  scope: SweepScope,
): Promise<number> {
  const view = new FlowRecord();
  let found = 0;
  for await (const { bytes, count } of source.sweep(scope)) {
    found += count;
    for (let i = 0; i < count; i++) {
      view.at(bytes, i * FLOW_RECORD.size);
      if (view.destinationPort !== PORT) continue;
      tally.records++;
      tally.packets += view.packets;
      tally.octets += view.octets;
      if (view.octets !== view.packets * IP_OCTETS) tally.inconsistent++;
    }
  }
  return found;
}

for (const { name, mayLose = false, ...settings } of CASES) {
  const title = mayLose ? 'what is lost is counted' : 'no packet is lost or doubled';
  t.test(`${title}: ${name}`, { skip }, async (t) => {
    const cgroup = createCgroup(t);
    const pair = createNamespacePair(t);
    bringUp(pair);
    const source = openKernelFlowSource({
      ...settings,
      interfaces: [pair.a.interfaceName],
      netns: pair.a.name,
      cgroup,
      onNotice: () => undefined,
    });
    t.teardown(() => {
      source.close();
    });

    const link = ['--interface', pair.b.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
    const ends = ['--source', pair.b.ipv4, '--to', pair.a.ipv4, '--port', PORT, '--bypass-qdisc'];
    const amount = ['--count', FRAMES, '--flows', FLOWS, '--size', PAYLOAD_OCTETS];
    const place = { namespace: pair.b, cgroup };
    const senders = [0, 1].map((cpu) =>
      startGenerator(t, place, 'frame-sender', ...link, ...ends, ...amount, '--cpu', cpu),
    );
    const tally: Tally = { records: 0, packets: 0, octets: 0, inconsistent: 0 };
    while (senders.some((sender) => !sender.hasEnded)) await sweepInto(tally, source, 'expired');
    source.stop();
    while ((await sweepInto(tally, source, 'all')) > 0);

    const counters = source.counters();
    t.equal(tally.packets + counters.LOST_PACKETS, 2 * FRAMES, 'packets');
    t.equal(tally.octets + counters.LOST_OCTETS, 2 * FRAMES * IP_OCTETS, 'octets');
    t.equal(tally.inconsistent, 0, 'every record by itself');
    t.ok(tally.records > 10 * FLOWS, `expired while traffic ran: ${tally.records} records`);
    if (mayLose) t.comment(`lost and counted: ${counters.LOST_PACKETS}`);
    else t.equal(counters.LOST_PACKETS, 0);
    t.equal(counters.FLOWS_CREATED, counters.FLOWS_DELETED, 'nothing stays in the cache');
    t.comment(`waited for a writer: ${counters.EXPIRY_DEFERRED}`);
    t.comment(`found a dead entry or a full cache: ${counters.SINGLE_PACKET_RECORDS}`);
  });
}
