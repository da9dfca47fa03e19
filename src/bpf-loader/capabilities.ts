// Capabilities of this process: which it has, by name.
import { readFileSync } from 'node:fs';

/** Their bits, as in include/uapi/linux/capability.h. */
export const CAPABILITY_BITS = {
  CAP_NET_ADMIN: 12,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

export type Capability = keyof typeof CAPABILITY_BITS;

/** What the set-up needs: to load, to read kernel structures, to attach. */
const NEEDED: readonly Capability[] = ['CAP_BPF', 'CAP_PERFMON', 'CAP_NET_ADMIN'];

export function capabilityBits(capabilities: readonly Capability[]): bigint {
  return capabilities.reduce((bits, name) => bits | (1n << BigInt(CAPABILITY_BITS[name])), 0n);
}

/** @param status as /proc/PID/status has it */
export function effectiveCapabilities(status: string): bigint {
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
}

/**
 * Names of the capabilities that this process lacks.
 * @param status as /proc/self/status has it
 */
export function missingCapabilities(
  status = readFileSync('/proc/self/status', 'utf8'),
): readonly Capability[] {
  const effective = effectiveCapabilities(status);
  const has = (name: Capability): boolean => (effective & capabilityBits([name])) !== 0n;
  // CAP_BPF and CAP_PERFMON were parts of CAP_SYS_ADMIN until kernel 5.8, and it still stands for them.
  return NEEDED.filter((name) => !has(name) && (name === 'CAP_NET_ADMIN' || !has('CAP_SYS_ADMIN')));
}
