// What an end-to-end test needs of the machine. A test that cannot run is skipped with its reason.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cgroup2Mount } from './test-cgroup.js';

const PROGRAMS = ['ip', 'tc', 'ethtool', 'nft', 'nfcapd', 'nfdump', 'tshark', 'tcpdump'] as const;

export const PROJECT_ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** For tap's `skip`: false when everything is there, these further programs too, else the reason. */
export function missingRequirement(...further: readonly string[]): string | false {
  if (process.getuid?.() !== 0) return 'needs root: it makes network namespaces and loads BPF';
  if (cgroup2Mount() === undefined) return 'cgroup v2 is not mounted';
  for (const program of [...PROGRAMS, ...further]) {
    const found = spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]);
    if (found.status !== 0) return `${program} is not installed`;
  }
  if (!existsSync(`${PROJECT_ROOT}/build/test/generators/run-in`)) {
    return 'the traffic generators are not built (make build)';
  }
  return false;
}
