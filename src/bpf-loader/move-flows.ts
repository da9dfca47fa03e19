// Moves the entries of the flow cache to another object's, which is larger; nothing may be metered
// meanwhile.
import { constants } from 'node:os';
import type { BpfObject } from './bpf-object.js';

const FLOW_MAPS = ['flows_v4', 'flows_v6'] as const;
const BPF_NOEXIST = 1;

/** @throws BpfError */
export function moveFlows(from: BpfObject, to: BpfObject): void {
  for (const name of FLOW_MAPS) moveEntries(from, to, name);
}

function moveEntries(from: BpfObject, to: BpfObject, name: string): void {
  const { libbpf } = from;
  const map = from.map(name);
  const [fromFd, toFd] = [from.mapFd(name), to.mapFd(name)];
  const octets = libbpf.keyOctets(map);
  const value = Buffer.alloc(libbpf.valueOctets(map));
  let key: Buffer | null = null;
  for (;;) {
    const next: Buffer = Buffer.alloc(octets);
    const found = libbpf.nextKey(fromFd, key, next);
    if (found === -constants.errno.ENOENT) return;
    if (found < 0) throw from.error(-found, `walk ${name}`);
    const read = libbpf.lookup(fromFd, next, value);
    if (read < 0) throw from.error(-read, `read a flow of ${name}`);
    const written = libbpf.update(toFd, next, value, BPF_NOEXIST);
    if (written < 0) throw to.error(-written, `write a flow of ${name}`);
    key = next;
  }
}
