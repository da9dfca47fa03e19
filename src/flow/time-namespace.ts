// In a time namespace of its own (time_namespaces(7)) a process reads CLOCK_BOOTTIME, and in /proc the starts
// of processes, shifted; the kernel's own times, those of flows and owners, are not.
import { readFileSync, readlinkSync } from 'node:fs';

const NS_PER_SECOND = 1_000_000_000n;

/**
 * How much later CLOCK_BOOTTIME is here than in the kernel, in nanoseconds; 0 without time namespaces
 * (before Linux 5.6).
 * @param directory of this process in /proc
 */
export function readBootOffsetNs(directory = '/proc/self'): bigint {
  try {
    // The offsets are those of its children's namespace.
    const [own, children] = ['time', 'time_for_children'].map((name) =>
      readlinkSync(`${directory}/ns/${name}`),
    );
    if (own !== children) return 0n;
    const text = readFileSync(`${directory}/timens_offsets`, 'latin1');
    const [, seconds, nanoseconds] = /^boottime\s+(-?\d+)\s+(\d+)$/m.exec(text) ?? [];
    if (seconds === undefined || nanoseconds === undefined) return 0n;
    return BigInt(seconds) * NS_PER_SECOND + BigInt(nanoseconds);
  } catch {
    return 0n;
  }
}
