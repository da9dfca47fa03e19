// A neighbour that no host has: the other end of the wire drops what is sent there and answers nothing.
import { execFileSync } from 'node:child_process';
import type { Side } from '../../test/support/network-namespace.js';

export const NOBODY = { ipv4: '10.99.0.66', mac: '02:00:00:00:00:42' } as const;

export function introduceNobody({ name, interfaceName }: Side): void {
  const entry = [NOBODY.ipv4, 'lladdr', NOBODY.mac, 'dev', interfaceName, 'nud', 'permanent'];
  execFileSync('ip', ['-n', name, 'neigh', 'replace', ...entry]);
}
