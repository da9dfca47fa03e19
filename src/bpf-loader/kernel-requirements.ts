// What every kernel must have for the programs: known before they are loaded, so that an old kernel is told
// in its own words and not in those of the verifier.
import { release } from 'node:os';
import { BpfError } from './bpf-error.js';
import type { KernelNames } from './kernel-names.js';

/** The oldest that is tested. Older ones are tried where they have what is listed below. */
export const MINIMUM_KERNEL = '6.1';

interface Requirement {
  readonly what: string;
  /** The kernel that brought it. */
  readonly since: string;
  /** A name in the kernel's BTF: distributions bring to old kernels what newer ones have. */
  readonly btfName?: string;
}

const REQUIREMENTS: readonly Requirement[] = [
  { what: 'iterators', since: '5.8', btfName: 'BPF_TRACE_ITER' },
  { what: 'ring buffers', since: '5.8', btfName: 'BPF_MAP_TYPE_RINGBUF' },
  {
    what: 'programs at the end of a socket',
    since: '5.9',
    btfName: 'BPF_CGROUP_INET_SOCK_RELEASE',
  },
  {
    what: 'bpf_get_current_task_btf',
    since: '5.11',
    btfName: 'BPF_FUNC_get_current_task_btf',
  },
  { what: 'bpf_sock_from_file', since: '5.11', btfName: 'BPF_FUNC_sock_from_file' },
  { what: 'atomic exchange, which exact counting needs', since: '5.12' },
  { what: 'bpf_skc_to_mptcp_sock', since: '5.19', btfName: 'BPF_FUNC_skc_to_mptcp_sock' },
];

/** To be looked for in the kernel's BTF. */
export const REQUIRED_NAMES: readonly string[] = REQUIREMENTS.flatMap(({ btfName }) =>
  btfName === undefined ? [] : [btfName],
);

/** "bpf_sock_from_file (5.11)" of each that this kernel does not have. */
export function missingRequirements(kernel: KernelNames, running = release()): readonly string[] {
  return REQUIREMENTS.filter(({ btfName, since }) =>
    btfName === undefined ? !isAtLeast(running, since) : !kernel.has(btfName),
  ).map(({ what, since }) => `${what} (${since})`);
}

/** @throws BpfError when this kernel is too old */
export function requireKernel(kernel: KernelNames, running = release()): void {
  const missing = missingRequirements(kernel, running);
  if (missing.length === 0) return;
  const reason = `this kernel lacks ${missing.join(', ')}: procflow needs Linux ${MINIMUM_KERNEL}`;
  throw new BpfError('ENOTSUP', `run on Linux ${running}`, reason);
}

/** @param running as uname says it: "6.1.0-56-cloud-amd64" */
export function isAtLeast(running: string, wanted: string): boolean {
  const [major = 0, minor = 0] = running.split('.').map(Number.parseFloat);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
