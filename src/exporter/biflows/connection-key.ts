// Which connection a flow record belongs to, and on which side of it: the two directions have the same
// key and opposite sides.
import { FLOW_DIRECTION, FLOW_FLAG, FLOW_RECORD } from '../../flow/flow-contract.gen.js';

/** Of the end that sends: 0 is the one that comes first in the key. */
export type Side = 0 | 1;

const F = FLOW_RECORD.fields;
export const TCP = 6;
const ICMP = 1;
const ICMPV6 = 58;
/** For messages of ICMP that ask or answer, the one that asks. */
const ICMP_REQUESTS: ReadonlyMap<number, number> = new Map([
  [8, 8], // echo
  [0, 8],
  [13, 13], // timestamp
  [14, 13],
]);
const ICMPV6_REQUESTS: ReadonlyMap<number, number> = new Map([
  [128, 128], // echo
  [129, 128],
]);
/** On loopback both directions are metered in the same one, or not, as capture has it. */
const LOOPBACK_WAY = 2;
const MAX_KEY_OCTETS = 64;

/** Moved from record to record. */
export class ConnectionKey {
  /** Octets as a string: all that both directions share. */
  key = '';
  side: Side = 0;
  readonly #octets = Buffer.alloc(MAX_KEY_OCTETS);

  /** @returns false for a flow that has no reverse: then key and side mean nothing */
  at(record: Buffer, offset: number): boolean {
    const protocol = record[offset + F.protocol.offset] ?? 0;
    const addressOctets = record[offset + F.ip_version.offset] === 4 ? 4 : 16;
    if (isMulticast(record, offset, addressOctets)) return false;
    const source = offset + F.source_address.offset;
    const destination = offset + F.destination_address.offset;
    let request = 0;
    if (isIcmp(protocol)) {
      const requests = protocol === ICMP ? ICMP_REQUESTS : ICMPV6_REQUESTS;
      const type = record[offset + F.icmp_type_code.offset] ?? 0;
      const asks = requests.get(type);
      if (asks === undefined) return false; // an error, or neighbour discovery
      request = asks;
      // By who asks, because both may ask with the same identifier, and one may ask itself.
      this.side = type === request ? 0 : 1;
    } else {
      const order =
        record.compare(
          record,
          destination,
          destination + addressOctets,
          source,
          source + addressOctets,
        ) || sourcePort(record, offset) - destinationPort(record, offset);
      if (order === 0) return false; // to itself: both directions are one flow
      this.side = order < 0 ? 0 : 1;
    }
    this.key = this.#write(record, offset, addressOctets, request);
    return true;
  }

  #write(record: Buffer, offset: number, addressOctets: number, request: number): string {
    const octets = this.#octets;
    const isFirst = this.side === 0;
    const { source_address, destination_address, interface_index, netns, icmp_id } = F;
    const [first, second] = isFirst
      ? [source_address.offset, destination_address.offset]
      : [destination_address.offset, source_address.offset];
    octets[0] = record[offset + F.protocol.offset] ?? 0;
    octets[1] = request;
    octets[2] = way(record, offset, this.side);
    let at = 3;
    const add = (from: number, length: number): void => {
      record.copy(octets, at, offset + from, offset + from + length);
      at += length;
    };
    add(interface_index.offset, interface_index.size);
    add(netns.offset, netns.size);
    add(first, addressOctets);
    add(second, addressOctets);
    if (request !== 0) {
      add(icmp_id.offset, icmp_id.size);
    } else {
      add(isFirst ? F.source_port.offset : F.destination_port.offset, F.source_port.size);
      add(isFirst ? F.destination_port.offset : F.source_port.offset, F.source_port.size);
    }
    return octets.toString('latin1', 0, at);
  }
}

export function isIcmp(protocol: number): boolean {
  return protocol === ICMP || protocol === ICMPV6;
}

export function sourcePort(record: Buffer, offset: number): number {
  return record.readUInt16BE(offset + F.source_port.offset);
}

export function destinationPort(record: Buffer, offset: number): number {
  return record.readUInt16BE(offset + F.destination_port.offset);
}

/** A packet that passes an interface in and out again has a flow each, and so has its reverse. */
function way(record: Buffer, offset: number, side: Side): number {
  const isLoopback = ((record[offset + F.flags.offset] ?? 0) & FLOW_FLAG.FLOW_LOOPBACK) !== 0;
  if (isLoopback) return LOOPBACK_WAY;
  const isEgress = record[offset + F.direction.offset] === FLOW_DIRECTION.FLOW_EGRESS;
  return isEgress === (side === 0) ? 1 : 0;
}

/** Broadcast too: by the address where it tells, or by the group bit of the frame's. */
function isMulticast(record: Buffer, offset: number, addressOctets: number): boolean {
  const at = offset + F.destination_address.offset;
  const first = record[at] ?? 0;
  if (((record[offset + F.destination_mac.offset] ?? 0) & 1) !== 0) return true;
  if (addressOctets === 16) return first === 0xff;
  return (first & 0xf0) === 0xe0 || record.readUInt32BE(at) === 0xffffffff;
}
