// A directory of a test's own below the BPF file system, for what procflow pins.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  rmdirSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Teardown } from './program.js';

const BPF_FS = '/sys/fs/bpf';
const BPF_FS_MAGIC = 0xcafe4a11;
let created = 0;

/** For tap's `skip`: false where there is a BPF file system, else the reason. */
export function missingBpfFileSystem(): string | false {
  if (process.getuid?.() !== 0) return 'needs root: it pins BPF maps';
  const isThere = existsSync(BPF_FS) && statfsSync(BPF_FS).type >>> 0 === BPF_FS_MAGIC;
  return !isThere && `no BPF file system at ${BPF_FS}`;
}

/** @returns a path where nothing is; what comes there is removed when the test ends */
export function bpfDirectory(t: Teardown): string {
  created++;
  const path = `${BPF_FS}/procflow-test-${process.pid}-${created}`;
  t.teardown(() => {
    removePins(path);
  });
  return path;
}

export function makeBpfDirectory(t: Teardown): string {
  const path = bpfDirectory(t);
  mkdirSync(path);
  return path;
}

/** Paths of all files below it; none where it is not there. */
export function pinsBelow(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path).flatMap((name) => {
    const at = join(path, name);
    return statSync(at).isDirectory() ? pinsBelow(at) : [at];
  });
}

function removePins(path: string): void {
  if (!existsSync(path)) return;
  for (const name of readdirSync(path)) {
    const at = join(path, name);
    if (statSync(at).isDirectory()) removePins(at);
    else rmSync(at);
  }
  rmdirSync(path);
}
