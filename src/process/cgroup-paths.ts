// From a cgroup's id, which is what the kernel notes, to its path. The id is the inode of its directory.
import { readdirSync, statSync } from 'node:fs';
import type { TimeShare } from './time-share.js';

interface CgroupPathsOptions {
  /** Where cgroup v2 is mounted; undefined: nothing is found. */
  readonly mount: string | undefined;
  /** For walks over the directories. */
  readonly time: TimeShare;
}

/** Far more than a host has at a time; of those that are gone the path is kept until then. */
const MAX_PATHS = 16_384;

export class CgroupPaths {
  readonly #options: CgroupPathsOptions;
  /** An empty path: there is no such cgroup any more. */
  readonly #paths = new Map<bigint, string>();

  constructor(options: CgroupPathsOptions) {
    this.#options = options;
  }

  /**
   * "/system.slice/ssh.service"; empty when the cgroup was gone before it was looked for. undefined: it was
   * not looked for, because that would take too much time now; a later call does.
   */
  path(id: bigint): string | undefined {
    const known = this.#paths.get(id);
    if (known !== undefined) return known;
    const { mount, time } = this.#options;
    if (mount === undefined || id === 0n) return '';
    const isDone = time.run(() => {
      this.#walk(mount);
      return true;
    });
    if (isDone !== true) return undefined;
    // It existed before it was heard of, so what a whole walk has not met is gone.
    if (!this.#paths.has(id)) this.#paths.set(id, '');
    return this.#paths.get(id);
  }

  #walk(mount: string): void {
    if (this.#paths.size > MAX_PATHS) this.#paths.clear();
    const pending = [''];
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      try {
        const { ino } = statSync(mount + path, { bigint: true });
        this.#paths.set(ino, path === '' ? '/' : path);
        for (const entry of readdirSync(mount + path, { withFileTypes: true })) {
          if (entry.isDirectory()) pending.push(`${path}/${entry.name}`);
        }
      } catch {
        // A cgroup that goes while the walk comes to it.
      }
    }
  }
}
