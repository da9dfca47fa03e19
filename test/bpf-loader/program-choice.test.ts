// Which programs are loaded on which kernel.
import t from 'tap';
import { canCast, programsToLeaveOut } from '../../src/bpf-loader/program-choice.js';

const HOOKS = [
  'btf_trace_sock_send_length',
  'btf_trace_sock_recv_length',
  'btf_trace_tcp_rcv_space_adjust',
  'security_socket_sendmsg',
  'security_socket_recvmsg',
];

function kernelWithout(...missing: readonly string[]) {
  return { has: (name: string) => HOOKS.includes(name) && !missing.includes(name) };
}

t.test('with the tracepoints of 6.3 what stands in for them is left out', async (t) => {
  t.same([...programsToLeaveOut(kernelWithout())].sort(), ['socket_receives', 'socket_sends']);
});

t.test('without them fentry on the security hooks stands in', async (t) => {
  const kernel = kernelWithout('btf_trace_sock_send_length', 'btf_trace_sock_recv_length');
  t.same([...programsToLeaveOut(kernel)].sort(), ['socket_received', 'socket_sent']);
});

t.test('without either, neither', async (t) => {
  t.same([...programsToLeaveOut({ has: () => false })].sort(), [
    'socket_drained',
    'socket_received',
    'socket_receives',
    'socket_sends',
    'socket_sent',
  ]);
});

t.test('packet programs see kernel structures only where both functions for it are', async (t) => {
  const both = ['bpf_cast_to_kern_ctx', 'bpf_rdonly_cast'];
  t.ok(canCast({ has: (name) => both.includes(name) }));
  t.notOk(canCast({ has: (name) => name === both[0] }));
});
