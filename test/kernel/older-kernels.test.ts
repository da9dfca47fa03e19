// The ways that are there for kernels which lack something, on this kernel: as far as it lets them
// be tried, they load and attach.
import t from 'tap';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { readKernelNames } from '../../src/bpf-loader/program-choice.js';
import { attachSocketHooks } from '../../src/bpf-loader/socket-hooks.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = cannotLoadPrograms();
const TRACEPOINTS = ['btf_trace_sock_send_length', 'btf_trace_sock_recv_length'];
const CASTS = ['bpf_cast_to_kern_ctx', 'bpf_rdonly_cast'];

function loadWithout(...missing: readonly string[]): BpfObject {
  const real = readKernelNames();
  return BpfObject.load({
    maxEntries: { flows_v4: 16, flows_v6: 16 },
    kernel: { has: (name) => !missing.includes(name) && real.has(name) },
  });
}

t.test('before 6.3: fentry is tried, and a kernel that forbids it is met', { skip }, async (t) => {
  const object = loadWithout(...TRACEPOINTS);
  t.teardown(() => {
    object.close();
  });
  const notices: string[] = [];
  const hooks = attachSocketHooks(object, createCgroup(t), (line) => notices.push(line));
  hooks.close();

  t.ok(object.unavailable.has('socket_sent'));
  const isForbidden = object.unavailable.has('socket_sends');
  t.equal(object.unavailable.has('socket_receives'), isForbidden, 'both or none');
  t.equal(notices.length, isForbidden ? 2 : 0, notices.join('\n'));
  t.ok(notices.every((line) => line.includes('shared by processes stay with their creator')));
});

t.test('before 6.2: without a view of kernel structures', { skip }, async (t) => {
  const object = loadWithout(...CASTS);
  t.teardown(() => {
    object.close();
  });
  t.ok(object.programFd('flow_egress') > 0);
});
