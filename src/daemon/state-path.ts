// The directory of --state, as it is given on the command line.
import { normalize } from 'node:path';
import { ConfigError } from './config-error.js';

/** @throws ConfigError */
export function readStatePath(state: string): string {
  if (state.startsWith('/')) return normalize(state);
  const advice = 'give the path of a directory below a BPF file system: /sys/fs/bpf/procflow';
  throw new ConfigError(`--state ${state}`, 'is not an absolute path', advice);
}
