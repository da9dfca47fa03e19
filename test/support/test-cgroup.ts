// A cgroup of a test's own: the exporter watches socket creation in there and nowhere else.
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Teardown } from './program.js';

let created = 0;

/** Where cgroup v2 is mounted; undefined when it is not. */
export function cgroup2Mount(): string | undefined {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    // "... mount point, options, optional fields, -, type, source, ...": see proc(5)
    const [mount, filesystem] = line.split(' - ');
    if (filesystem?.startsWith('cgroup2 ')) return mount?.split(' ')[4];
  }
  return undefined;
}

/**
 * @param parent a cgroup of the test's own; default: the root
 * @returns the directory; it is removed when the test ends and its programs have ended
 */
export function createCgroup(t: Teardown, parent = cgroup2Mount()): string {
  if (parent === undefined) throw new Error('cgroup v2 is not mounted');
  created++;
  const directory = `${parent}/procflow-test-${process.pid}-${created}`;
  mkdirSync(directory);
  t.teardown(() => removeCgroup(directory));
  return directory;
}

/** A process that was killed stands in its cgroup until the kernel is done with it. */
export async function removeCgroup(directory: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      rmdirSync(directory);
      return;
    } catch (error) {
      const isBusy = (error as NodeJS.ErrnoException).code === 'EBUSY';
      if (!isBusy || attempt === 100) throw error;
      await delay(10);
    }
  }
}
