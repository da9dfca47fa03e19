// More flows than the kernel walks in one read(): it breaks off with EAGAIN after a million elements
// that gave nothing, and the sweep goes on from there.
import t from 'tap';
import { openKernelFlowSource } from '../../src/bpf-loader/kernel-flow-source.js';
import type { SweepScope } from '../../src/flow/flow-source.js';
import { runGenerator } from '../support/generators.js';
import { bringUp, createNamespacePair } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';
import { NEVER } from '../support/timeouts.js';

const SOURCE_PORTS = 65_536;
const DESTINATION_PORTS = 17;
const FLOWS = SOURCE_PORTS * DESTINATION_PORTS;

t.test(
  'a cache with more than a million flows is swept',
  { skip: missingRequirement() },
  async (t) => {
    const cgroup = createCgroup(t);
    const pair = createNamespacePair(t);
    bringUp(pair);
    const source = openKernelFlowSource({
      timeouts: NEVER,
      maxFlows: 2 * FLOWS,
      interfaces: [pair.a.interfaceName],
      netns: pair.a.name,
      cgroup,
      onNotice: () => undefined,
    });
    t.teardown(() => {
      source.close();
    });
    const sweep = async (scope: SweepScope): Promise<number> => {
      let records = 0;
      for await (const { count } of source.sweep(scope)) records += count;
      return records;
    };

    const place = { namespace: pair.b, cgroup };
    const link = ['--interface', pair.b.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
    const ends = ['--source', pair.b.ipv4, '--to', pair.a.ipv4, '--bypass-qdisc'];
    const amount = ['--count', SOURCE_PORTS, '--flows', SOURCE_PORTS];
    for (let port = 1; port <= DESTINATION_PORTS; port++) {
      await runGenerator(t, place, 'frame-sender', ...link, ...ends, ...amount, '--port', port);
    }
    source.stop();
    const created = source.counters().FLOWS_CREATED;
    t.ok(created >= FLOWS, `${created} flows`);
    t.equal(await sweep('expired'), 0, 'a walk that finds nothing to give comes to its end');
    let left = created;
    for (let taken = -1; taken !== 0; left -= taken) taken = await sweep('all');
    t.equal(left, 0, 'and each flow leaves');
  },
);
