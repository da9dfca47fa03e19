// CPU time and memory, of a process and of the machine, as /proc has them.
import { readdirSync, readFileSync } from 'node:fs';

const NS_PER_TICK = 1e7; // USER_HZ is 100 on every architecture that procflow runs on

/** CPU time that a process has used so far. */
export function processCpuNs(pid: number): number {
  const fields = statFields(pid);
  if (fields === undefined) throw new Error(`process ${pid} is gone`);
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

/**
 * CPU time that processes of others have used so far, those included that have ended and been waited for;
 * kernel threads not. What an experiment's own processes use is not in it, nor what they leave behind.
 */
export function othersCpuNs(own: ReadonlySet<number>): number {
  let ticks = 0;
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (Number.isNaN(pid) || own.has(pid)) continue;
    const fields = statFields(pid);
    if (fields === undefined || fields[1] === KTHREADD || pid === Number(KTHREADD)) continue;
    // Of this process the experiment's programs are children.
    const [first, last] = [11, pid === process.pid ? 13 : 15];
    ticks += fields.slice(first, last).reduce((sum, field) => sum + Number(field), 0);
  }
  return ticks * NS_PER_TICK;
}

/** Of the kernel's threads ksoftirqd: what arrives at an interface is often their work. */
export function softInterruptThreadsCpuNs(): number {
  let sum = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || !isNamed(name, /^ksoftirqd\//)) continue;
    sum += Number(readFileSync(`/proc/${name}/schedstat`, 'utf8').split(' ')[0]);
  }
  return sum;
}

function isNamed(pid: string, pattern: RegExp): boolean {
  try {
    return pattern.test(readFileSync(`/proc/${pid}/comm`, 'utf8'));
  } catch {
    return false; // it has ended
  }
}

const KTHREADD = '2';

/** From the third field of /proc/PID/stat on, the state; undefined when the process is gone. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    // The second field is the name, in brackets, and may hold anything: count from behind it.
    return /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]?.split(' ');
  } catch {
    return undefined;
  }
}

export function childrenOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' '))
    .filter((text) => text !== '')
    .map(Number);
}

export function processesOf(cgroup: string): readonly number[] {
  return readFileSync(`${cgroup}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
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
