// Kernel memory of a daemon: what the kernel charges to a memory cgroup that the daemon has for itself.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Teardown } from '../../test/support/program.js';
import { removeCgroup } from '../../test/support/test-cgroup.js';

export interface MemoryCgroup {
  readonly add: (pid: number) => void;
  /** Slabs, pages, per-CPU memory and vmalloc, rounded as the kernel rounds it. */
  readonly kernelOctets: () => number;
}

let created = 0;

/** Undefined where memory is not controlled by cgroups (v1), or only by those of others (v2). */
export function createMemoryCgroup(t: Teardown): MemoryCgroup | undefined {
  const mount = memoryMount();
  if (mount === undefined) return undefined;
  created++;
  const directory = `${mount}/procflow-bench-${process.pid}-${created}`;
  mkdirSync(directory);
  t.teardown(() => removeCgroup(directory));
  const usage = `${directory}/memory.kmem.usage_in_bytes`;
  const stat = `${directory}/memory.stat`;
  if (!existsSync(usage) && !existsSync(stat)) return undefined;
  return {
    add: (pid) => {
      writeFileSync(`${directory}/cgroup.procs`, String(pid));
    },
    kernelOctets: () =>
      existsSync(usage)
        ? Number(readFileSync(usage, 'utf8'))
        : Number(/^kernel (\d+)$/m.exec(readFileSync(stat, 'utf8'))?.[1] ?? NaN),
  };
}

function memoryMount(): string | undefined {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [mount, filesystem = ''] = line.split(' - ');
    const [type, , options = ''] = filesystem.split(' ');
    if (type === 'cgroup2' || options.split(',').includes('memory')) {
      const directory = mount?.split(' ')[4];
      if (type !== 'cgroup2' || hasMemory(directory)) return directory;
    }
  }
  return undefined;
}

function hasMemory(directory: string | undefined): boolean {
  return readFileSync(`${directory}/cgroup.subtree_control`, 'utf8').includes('memory');
}
