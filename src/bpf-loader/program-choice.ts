// Which of the programs this kernel can run: some need a hook that not every kernel has, and some
// stand in for those.
import { closeSync, openSync, readSync } from 'node:fs';

export const KERNEL_BTF = '/sys/kernel/btf/vmlinux';

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

const SOUGHT = [...OPTIONAL_PROGRAMS.map(({ needs }) => needs), ...CASTS];

/** struct btf_header (linux/btf.h): where its length stands, and where the strings begin and how many. */
const BTF_HEADER = { octets: 24, length: 4, stringsAt: 16, stringsOctets: 20 } as const;
const CHUNK_OCTETS = 128 * 1024;

/** What the kernel's BTF says of the hooks. */
export interface KernelNames {
  readonly has: (name: string) => boolean;
}

/**
 * A search for the names above in the BTF's string table, piece by piece: as a whole the BTF is 6 MiB, and
 * it would be long before the garbage collector gave them back.
 */
export function readKernelNames(): KernelNames {
  const fd = openSync(KERNEL_BTF, 'r');
  try {
    const header = Buffer.alloc(BTF_HEADER.octets);
    readSync(fd, header, 0, header.length, 0);
    const begin =
      header.readUInt32LE(BTF_HEADER.length) + header.readUInt32LE(BTF_HEADER.stringsAt);
    const found = searchNames(fd, begin, begin + header.readUInt32LE(BTF_HEADER.stringsOctets));
    return { has: (name) => found.has(name) };
  } finally {
    closeSync(fd);
  }
}

function searchNames(fd: number, begin: number, end: number): Set<string> {
  const found = new Set<string>();
  const needles = SOUGHT.map((name) => [name, Buffer.from(`\0${name}\0`)] as const);
  const overlap = Math.max(...needles.map(([, needle]) => needle.length));
  const chunk = Buffer.alloc(CHUNK_OCTETS);
  let filled = 0;
  for (let at = begin; at < end;) {
    const octets = readSync(fd, chunk, filled, Math.min(chunk.length - filled, end - at), at);
    at = octets === 0 ? end : at + octets;
    filled += octets;
    // sysfs gives a page at a time.
    if (filled < chunk.length && at < end) continue;
    const piece = chunk.subarray(0, filled);
    for (const [name, needle] of needles) if (piece.includes(needle)) found.add(name);
    // The next piece begins with the end of this one, where a name may be cut.
    filled = piece.copy(chunk, 0, Math.max(0, filled - overlap));
  }
  return found;
}

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
