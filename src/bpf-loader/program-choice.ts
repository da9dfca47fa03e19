// Which of the programs this kernel can run: some need a hook that not every kernel has, and some
// stand in for those.
import { readNames, type KernelNames } from './kernel-names.js';
import { REQUIRED_NAMES } from './kernel-requirements.js';

interface OptionalProgram {
  readonly program: string;
  /** A name in the kernel's BTF. */
  readonly needs: string;
  /** Only where this one cannot run. */
  readonly insteadOf?: string;
}

const OPTIONAL_PROGRAMS: readonly OptionalProgram[] = [
  { program: 'socket_sent', needs: 'btf_trace_sock_send_length' },
  { program: 'socket_received', needs: 'btf_trace_sock_recv_length' },
  { program: 'socket_drained', needs: 'btf_trace_tcp_rcv_space_adjust' },
  { program: 'socket_sends', needs: 'security_socket_sendmsg', insteadOf: 'socket_sent' },
  { program: 'socket_receives', needs: 'security_socket_recvmsg', insteadOf: 'socket_received' },
];

/** Programs of the kind fentry: a kernel that has the hook can still forbid it (lockdown). */
export const TRACING_PROGRAMS: readonly string[] = ['socket_sends', 'socket_receives'];

/** The kfuncs by which packet programs see the kernel's own structures. */
const CASTS = ['bpf_cast_to_kern_ctx', 'bpf_rdonly_cast'];

const SOUGHT = [...OPTIONAL_PROGRAMS.map(({ needs }) => needs), ...CASTS, ...REQUIRED_NAMES];

/** Optional programs that shall not be loaded, for lack of their hook or of need. */
export function programsToLeaveOut(kernel: KernelNames): Set<string> {
  const cannotRun = new Set(
    OPTIONAL_PROGRAMS.filter(({ needs }) => !kernel.has(needs)).map(({ program }) => program),
  );
  const notNeeded = OPTIONAL_PROGRAMS.filter(
    ({ insteadOf }) => insteadOf !== undefined && !cannotRun.has(insteadOf),
  );
  return new Set([...cannotRun, ...notNeeded.map(({ program }) => program)]);
}

export function canCast(kernel: KernelNames): boolean {
  return CASTS.every((name) => kernel.has(name));
}

/** What this kernel has of all that programs ask for. */
export function readKernelNames(): KernelNames {
  return readNames(SOUGHT);
}
