// The network namespace of a packet that is metered at its socket: from the kernel's own structure, and
// on older kernels from what was noted with the socket's owner.
import t from 'tap';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { openFlowCache } from '../../src/bpf-loader/flow-cache.js';
import { readKernelNames } from '../../src/bpf-loader/program-choice.js';
import { captureAtSockets, findWatchedCgroup } from '../../src/bpf-loader/socket-capture.js';
import { attachSocketHooks } from '../../src/bpf-loader/socket-hooks.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import { createNamespace } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import { converse, inodeOf } from '../support/socket-capture.js';
import { createCgroup } from '../support/test-cgroup.js';
import { NEVER } from '../support/timeouts.js';

const kernel = readKernelNames();
const KERNELS = [
  { how: "from the kernel's structures", kernel },
  {
    how: 'as noted with the owner',
    kernel: { has: (name: string) => name !== 'bpf_cast_to_kern_ctx' && kernel.has(name) },
  },
];

for (const { how, kernel } of KERNELS) {
  t.test(
    `each packet has its network namespace: ${how}`,
    { skip: missingRequirement() },
    async (t) => {
      const place = { namespace: createNamespace(t), cgroup: createCgroup(t) };
      const cgroup = findWatchedCgroup(place.cgroup);
      const maxEntries = { flows_v4: 64, flows_v6: 64 };
      const object = BpfObject.load({
        ...{ maxEntries, kernel },
        ...{ capture: 'sockets', watchedCgroup: cgroup.id },
      });
      const closers = [
        object,
        openFlowCache(object, { timeouts: NEVER }),
        attachSocketHooks(object, place.cgroup, () => undefined),
        captureAtSockets(object, cgroup),
      ] as const;
      t.teardown(() => {
        for (const resource of [...closers].reverse()) resource.close();
      });
      for (const kind of ['tcp', 'udp'] as const) {
        await converse(t, kind, [place, place], '127.0.0.1');
        await converse(t, kind, [place, place], '::1');
      }
      const namespaces: number[] = [];
      for await (const { bytes, count } of closers[1].sweep('all')) {
        for (let i = 0; i < count; i++) {
          namespaces.push(new FlowRecord().at(bytes, i * FLOW_RECORD.size).networkNamespace);
        }
      }
      t.same(namespaces, Array<number>(8).fill(inodeOf(place.namespace)));
    },
  );
}
