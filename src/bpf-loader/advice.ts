// From an errno and libbpf's messages to what a user can do about it.
import { missingCapabilities } from './capabilities.js';

/** What to do about an errno, where it is clear; else empty. */
export function adviceFor(
  code: string,
  libbpfLines: readonly string[],
  missing: readonly string[] = missingCapabilities(),
): string {
  if (code === 'EPERM' || code === 'EACCES') {
    if (missing.length > 0)
      return `needs ${missing.join(', ')}: run as root, or with these, outside of containers`;
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
