// Which kernels are refused, and with which words.
import t from 'tap';
import {
  isAtLeast,
  missingRequirements,
  requireKernel,
  REQUIRED_NAMES,
} from '../../src/bpf-loader/kernel-requirements.js';
import { readKernelNames } from '../../src/bpf-loader/program-choice.js';

const COMPLETE = { has: () => true };

void t.test('this kernel has it all', async (t) => {
  t.same(missingRequirements(readKernelNames()), []);
});

void t.test('what is missing is named, with the kernel that brought it', async (t) => {
  const names = REQUIRED_NAMES.filter((name) => !/task_btf|mptcp/.test(name));
  const kernel = { has: (name: string) => names.includes(name) };
  const running = '5.10.0-46-cloud-amd64';
  t.throws(() => requireKernel(kernel, running), {
    message:
      'run on Linux 5.10.0-46-cloud-amd64: ENOTSUP (this kernel lacks bpf_get_current_task_btf (5.11), ' +
      'atomic exchange, which exact counting needs (5.12), bpf_skc_to_mptcp_sock (5.19): ' +
      'procflow needs Linux 6.1)',
  });
  t.doesNotThrow(() => requireKernel(COMPLETE, '5.14.0-570.el9'), 'a distribution brought it back');
});

void t.test('releases are compared by their numbers', async (t) => {
  const CASES = [
    { running: '6.1.0-56-cloud-amd64', wanted: '6.1', is: true },
    { running: '6.12.117+deb13', wanted: '6.2', is: true },
    { running: '5.19.17', wanted: '6.1', is: false },
    { running: '6.1-rc1', wanted: '6.1', is: true },
    { running: '7.0', wanted: '6.12', is: true },
  ];
  for (const { running, wanted, is } of CASES) t.equal(isAtLeast(running, wanted), is, running);
});
