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
 * is no socket or it waits in TIME_WAIT (only of other sockets does nftables know the mark), and the
 * resets that the kernel sends.
 */
export function countSocketless(namespace: Namespace): void {
  const count = 'update @ipv4 { ip saddr . ip daddr }\nupdate @ipv6 { ip6 saddr . ip6 daddr }';
  const chains = `chain arriving {
    type filter hook prerouting priority 0; policy accept;
    meta l4proto != tcp return
    socket mark & 0 == 0 return
    ${count}
  }
  chain leaving {
    type filter hook output priority 0; policy accept;
    tcp flags & rst == 0 return
    ${count}
  }`;
  nft(namespace, ['-f', '-'], `table inet ${TABLE} {\n${SETS}\n${chains}\n}\n`);
}

interface Element {
  readonly elem: {
    readonly val: { readonly concat: readonly [string, string] };
    readonly counter: { readonly packets: number; readonly bytes: number };
  };
}

/** Counts of a pair of addresses, and what countSocketless has of it. */
export interface PairAtSockets {
  readonly onWire: Count;
  readonly metered: Count;
  readonly socketless: Count;
  /** Of the other direction. */
  readonly answered: Count;
}

export function pairAtSockets(
  pair: string,
  counts: { readonly wire: PairCounts; readonly metered: Count; readonly socketless: PairCounts },
): PairAtSockets {
  const none = { packets: 0, octets: 0 };
  const reversed = pair.split(' ').reverse().join(' ');
  return {
    onWire: counts.wire.get(pair) ?? none,
    metered: counts.metered,
    socketless: counts.socketless.get(pair) ?? none,
    answered: counts.socketless.get(reversed) ?? none,
  };
}

/**
 * Whether metering at sockets counted what was on the wire, but for TCP segments that may have had no
 * socket of a process, and the acknowledgements that answer such from the other direction, at most
 * one each. They have 40 octets, up to 72 with IPv6 and timestamps.
 */
export function isMeteredAtSockets(counts: PairAtSockets): boolean {
  const { onWire, metered, socketless, answered } = counts;
  const packets = onWire.packets - metered.packets;
  const octets = onWire.octets - metered.octets;
  if (packets === 0) return octets === 0;
  return (
    packets > 0 &&
    packets <= socketless.packets + answered.packets &&
    octets >= 40 * packets &&
    octets <= socketless.octets + 72 * Math.min(packets, answered.packets)
  );
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
