// What figures depend on; nothing that tells whose machine it is.
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface MachineFacts {
  readonly kernel: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGib: number;
  readonly node: string;
  /** Of the last minute. */
  readonly load: string;
}

export function machineFacts(): MachineFacts {
  const [first] = cpus();
  return {
    kernel: `Linux ${release()}`,
    cores: cpus().length,
    cpu: first?.model.trim() ?? 'unknown',
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    load: loadavg()[0]?.toFixed(1) ?? '?',
  };
}

/** The program's own words; "not installed" without it. */
export function versionOf(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    // Some print it on standard error and fail.
    const printed = execFileSync('sh', ['-c', '"$@" 2>&1 || true', 'sh', command, ...args], {
      encoding: 'utf8',
    });
    return pattern.exec(printed)?.[1] ?? 'not installed';
  } catch {
    return 'unknown';
  }
}
