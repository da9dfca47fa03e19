// From an errno and libbpf's messages to what a user can do about it.
import { readFileSync } from 'node:fs';

/** Capabilities that the set-up needs, and their bits: to load, to read kernel structures, to attach. */
const CAPABILITIES = { CAP_BPF: 39, CAP_PERFMON: 38, CAP_NET_ADMIN: 12 } as const;
/** Stands for CAP_BPF and CAP_PERFMON, which were parts of it until kernel 5.8. */
const CAP_SYS_ADMIN = 21;

/**
 * Names of the capabilities that this process lacks.
 * @param status as /proc/self/status has it
 */
export function missingCapabilities(status = readFileSync('/proc/self/status', 'utf8')): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const has = (bit: number): boolean => ((effective >> BigInt(bit)) & 1n) === 1n;
  return Object.entries(CAPABILITIES)
    .filter(([name, bit]) => !has(bit) && (name === 'CAP_NET_ADMIN' || !has(CAP_SYS_ADMIN)))
    .map(([name]) => name);
}

/** What to do about an errno, where it is clear; else empty. */
export function adviceFor(
  code: string,
  libbpfLines: readonly string[],
  missing = missingCapabilities(),
): string {
  if (code === 'EPERM' || code === 'EACCES') {
    if (missing.length > 0)
      return `needs ${missing.join(', ')}: run as root, outside of containers`;
  }
  const program = failedProgram(libbpfLines);
  const which = program === undefined ? '' : `program ${program}: `;
  switch (code) {
    case 'EPERM':
      return `${which}the kernel's policy forbids it; \`procflow doctor\` shows what is allowed`;
    case 'ENOMEM':
      return `${which}not enough memory, or a limit on it; lower --max-flows`;
    case 'EINVAL':
    case 'EACCES':
    case 'E2BIG':
      // Without a program it was another call that failed, of which nothing is known.
      return program === undefined
        ? ''
        : `${which}the kernel's verifier refused it; --debug prints its log`;
    case 'ESRCH':
    case 'ENOENT':
      return `${which}this kernel lacks what it attaches to; \`procflow doctor\` shows what`;
    default:
      return program === undefined ? '' : `program ${program}`;
  }
}

/** libbpf names the program that failed only in its messages. */
function failedProgram(lines: readonly string[]): string | undefined {
  for (const line of lines) {
    const match = /prog '([^']+)': (?:failed|BPF program load failed)/.exec(line);
    if (match) return match[1];
  }
  return undefined;
}
