// CPU time and memory, of a process and of the machine, as /proc has them.
import { readdirSync, readFileSync } from 'node:fs';

const NS_PER_TICK = 1e7; // USER_HZ is 100 on every architecture that procflow runs on

/** CPU time that a process has used so far. */
export function processCpuNs(pid: number): number {
  // The second field is the name, in brackets, and may hold anything: count from behind it.
  const [, rest = ''] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
  const fields = rest.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * NS_PER_TICK;
}

/** CPU time that the machine has used so far, interrupts included, without what others stole. */
export function machineCpuNs(): number {
  const [, user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)
    .flatMap((line) => line.split(/\s+/).map(Number));
  return (
    [user, nice, system, irq, softirq].reduce<number>((sum, ticks) => sum + (ticks ?? 0), 0) *
    NS_PER_TICK
  );
}

/** CPU time that all processes of a cgroup (v2) have used so far. */
export function cgroupCpuNs(cgroup: string): number {
  const stat = readFileSync(`${cgroup}/cpu.stat`, 'utf8');
  return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1] ?? NaN) * 1000;
}

export interface Resident {
  readonly octets: number;
  /** Without what is read from files and shared with others: node's own program above all. */
  readonly privateOctets: number;
}

export function residentMemory(pid: number): Resident {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const octets = (name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1] ?? NaN) * 1024;
  return { octets: octets('VmRSS'), privateOctets: octets('RssAnon') };
}

/** Kernel memory of the BPF maps that the process holds; what sockets carry is not in it. */
export function mapOctets(pid: number): number {
  const octets = new Map<string, number>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    const id = /^map_id:\s*(\d+)$/m.exec(info)?.[1];
    const memlock = /^memlock:\s*(\d+)$/m.exec(info)?.[1];
    if (id !== undefined && memlock !== undefined) octets.set(id, Number(memlock));
  }
  return [...octets.values()].reduce((sum, value) => sum + value, 0);
}
