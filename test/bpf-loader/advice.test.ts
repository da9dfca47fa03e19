// What a user is told when the kernel refuses.
import t from 'tap';
import { adviceFor } from '../../src/bpf-loader/advice.js';
import { missingCapabilities } from '../../src/bpf-loader/capabilities.js';

const VERIFIER_LINES = [
  "libbpf: prog 'flow_ingress': BPF program load failed: Permission denied",
  "libbpf: prog 'flow_ingress': -- BEGIN PROG LOAD LOG --",
];

interface Case {
  readonly name: string;
  readonly args: [code: string, libbpfLines: string[], missing: string[]];
  readonly expected: string;
}

void t.test('advice names the program, the capability or the option', async (t) => {
  const CASES: readonly Case[] = [
    {
      name: 'a capability that is missing',
      args: ['EPERM', [], ['CAP_BPF']],
      expected: 'needs CAP_BPF: run as root, or with these, outside of containers',
    },
    {
      name: 'a policy that forbids one program',
      args: ['EPERM', ["libbpf: prog 'socket_sent': failed to attach: EPERM"], []],
      expected:
        "program socket_sent: the kernel's policy forbids it; `procflow doctor` shows what is allowed",
    },
    {
      name: 'the verifier',
      args: ['EACCES', [...VERIFIER_LINES], []],
      expected: "program flow_ingress: the kernel's verifier refused it; --debug prints its log",
    },
    {
      name: 'a hook that the kernel does not have',
      args: ['ESRCH', ["libbpf: prog 'socket_sent': failed to load: -3"], []],
      expected:
        'program socket_sent: this kernel lacks what it attaches to; `procflow doctor` shows what',
    },
    {
      name: 'memory',
      args: ['ENOMEM', [], []],
      expected: 'not enough memory, or a limit on it; lower --max-flows',
    },
    { name: 'nothing that is known', args: ['EBUSY', [], []], expected: '' },
    { name: 'not the verifier, when no program failed', args: ['EINVAL', [], []], expected: '' },
  ];
  for (const { name, args, expected } of CASES) t.equal(adviceFor(...args), expected, name);
});

void t.test('missing capabilities are read from CapEff', async (t) => {
  const NET_ADMIN = 1n << 12n;
  const SYS_ADMIN = 1n << 21n;
  const PERFMON = 1n << 38n;
  const BPF = 1n << 39n;
  const CASES = [
    { name: 'none at all', effective: 0n, missing: ['CAP_BPF', 'CAP_PERFMON', 'CAP_NET_ADMIN'] },
    { name: 'the three', effective: NET_ADMIN | PERFMON | BPF, missing: [] },
    { name: 'CAP_SYS_ADMIN stands for two', effective: NET_ADMIN | SYS_ADMIN, missing: [] },
    {
      name: 'but not for the third',
      effective: SYS_ADMIN | PERFMON | BPF,
      missing: ['CAP_NET_ADMIN'],
    },
  ];
  for (const { name, effective, missing } of CASES) {
    const status = `CapPrm:\t0\nCapEff:\t${effective.toString(16).padStart(16, '0')}\n`;
    t.same(missingCapabilities(status), missing, name);
  }
});
