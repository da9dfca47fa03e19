// What passes a wire, counted by nftables: packets and IP octets between each pair of addresses.
// Counted where they arrive, one frame at a time, before anything is reassembled or rejected.
import { execFileSync } from 'node:child_process';
import type { Namespace } from '../support/network-namespace.js';
import type { Count } from './case.js';

/** Keyed by "source destination". */
export type PairCounts = ReadonlyMap<string, Count>;

const TABLE = 'procflow_test';
const COUNTED = `{ flags dynamic; size 65535; counter; type`;

function nft(namespace: Namespace, args: readonly string[], input?: string): string {
  return execFileSync('ip', ['netns', 'exec', namespace.name, 'nft', ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    ...(input !== undefined && { input }),
  });
}

/**
 * Copies of one's own broadcasts come in again without having been on the wire; a metered host's
 * addresses end in 1.
 */
const NOT_FROM_HERE = 'ip saddr & 0.0.0.255 == 0.0.0.1 return; ip6 saddr & ::ffff == ::1 return';

function chain(device: string, isWire: boolean): string {
  return `chain in_${device} {
    type filter hook ingress device "${device}" priority 0; policy accept;
    ${isWire ? NOT_FROM_HERE : ''}
    update @ipv4 { ip saddr . ip daddr }
    update @ipv6 { ip6 saddr . ip6 daddr }
  }`;
}

const SETS = `set ipv4 ${COUNTED} ipv4_addr . ipv4_addr; }
set ipv6 ${COUNTED} ipv6_addr . ipv6_addr; }`;

/** Begins to count what arrives at this end of the wire, and what the host sends to itself. */
export function countArrivals(namespace: Namespace, device: string, isMetered: boolean): void {
  const parts = [SETS, chain(device, isMetered), chain('lo', false)].join('\n');
  nft(namespace, ['-f', '-'], `table netdev ${TABLE} {\n${parts}\n}\n`);
}

/**
 * Begins to count the TCP segments that need not have a socket of a process: what arrives where there
 * is no socket or it waits in TIME_WAIT, and the resets that the kernel sends. It knows them by the mark,
 * which nftables has only of whole sockets: also the acknowledgement that completes a connection, which
 * has one for procflow (the listener), is among them.
 */
export function countSocketless(namespace: Namespace): void {
  const families = [
    ['ipv4', 'ip'],
    ['ipv6', 'ip6'],
  ] as const;
  const count = (match: string): string =>
    families.map(([set, ip]) => `${match} update @${set} { ${ip} saddr . ${ip} daddr }`).join('\n');
  const chains = `chain arriving {
    type filter hook prerouting priority 0; policy accept;
    socket mark & 0 == 0 return
    ${count('meta l4proto tcp')}
  }
  chain leaving {
    type filter hook output priority 0; policy accept;
    ${count('tcp flags & rst == rst')}
  }`;
  nft(namespace, ['-f', '-'], `table inet ${TABLE} {\n${SETS}\n${chains}\n}\n`);
}

interface Element {
  readonly elem: {
    readonly val: { readonly concat: readonly [string, string] };
    readonly counter: { readonly packets: number; readonly bytes: number };
  };
}

function readSets(namespaces: readonly Namespace[], tableFamily: 'netdev' | 'inet'): PairCounts {
  const counts = new Map<string, Count>();
  for (const namespace of namespaces) {
    const listing = JSON.parse(nft(namespace, ['-j', 'list', 'sets', tableFamily])) as {
      readonly nftables: readonly { readonly set?: { readonly elem?: readonly Element[] } }[];
    };
    for (const { elem } of listing.nftables.flatMap(({ set }) => set?.elem ?? [])) {
      addCount(counts, elem.val.concat.join(' '), {
        packets: elem.counter.packets,
        octets: elem.counter.bytes,
      });
    }
  }
  return counts;
}

/** What arrived anywhere in these namespaces so far. */
export function readArrivals(namespaces: readonly Namespace[]): PairCounts {
  return readSets(namespaces, 'netdev');
}

/** What countSocketless counted so far. */
export function readSocketless(namespace: Namespace): PairCounts {
  return readSets([namespace], 'inet');
}

export function addCount(counts: Map<string, Count>, key: string, more: Count): void {
  const { packets, octets } = counts.get(key) ?? { packets: 0, octets: 0 };
  counts.set(key, { packets: packets + more.packets, octets: octets + more.octets });
}
