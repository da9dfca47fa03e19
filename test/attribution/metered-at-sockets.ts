// Whether what procflow metered at sockets is what was on the wire.
import type { Count } from './case.js';
import type { PairCounts } from './wire-counters.js';

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
