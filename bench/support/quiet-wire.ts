// A wire with nothing on it but the experiment: no neighbour discovery, no router solicitations, and an
// address behind it that takes everything.
import {
  bringUp,
  createNamespacePair,
  ETHERNET_OCTETS,
  interfaceCounters,
  setOnBoth,
  type NamespacePair,
} from '../../test/support/network-namespace.js';
import type { Teardown } from '../../test/support/program.js';
import { introduceNobody } from './nobody.js';

export function createQuietWire(t: Teardown): NamespacePair {
  const pair = createNamespacePair(t);
  bringUp(pair);
  setOnBoth(pair, 'net.ipv6.conf.veth0.disable_ipv6=1');
  introduceNobody(pair.a);
  return pair;
}

export interface WireCount {
  readonly packets: number;
  /** Of IP. */
  readonly octets: number;
}

/**
 * What a sent, by its interface's counters. Also what the interface dropped on its way out: TC, where
 * packets are metered, is before that.
 * @param frameOctets of each frame
 */
export function sentOver({ a }: NamespacePair, frameOctets: number): WireCount {
  const { sentPackets, sentOctets, droppedPackets } = interfaceCounters(a);
  const packets = sentPackets + droppedPackets;
  const octets = sentOctets + droppedPackets * frameOctets - packets * ETHERNET_OCTETS;
  return { packets, octets };
}
