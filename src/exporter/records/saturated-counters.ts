// Counters of 64 bits in formats that have 32: a flow that counts more goes out as several records
// whose counters sum up to its own.
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';

const { packets: PACKETS, octets: OCTETS } = FLOW_RECORD.fields;
const MOST = 2n ** 32n - 1n;

/** Whether 32 bits hold both counters of the flow record. */
export function fitsWords(record: Buffer, offset: number): boolean {
  return (
    record.readUInt32LE(offset + PACKETS.offset + 4) === 0 &&
    record.readUInt32LE(offset + OCTETS.offset + 4) === 0
  );
}

/**
 * The flow record as several with counters that fit, all of about the same size. One buffer is used
 * for all of them: each is valid until the next.
 */
export function* splitCounters(record: Buffer, offset: number): Generator<Buffer> {
  const part = Buffer.from(record.subarray(offset, offset + FLOW_RECORD.size));
  const packets = part.readBigUInt64LE(PACKETS.offset);
  const octets = part.readBigUInt64LE(OCTETS.offset);
  const most = packets > octets ? packets : octets;
  const parts = (most + MOST - 1n) / MOST;
  for (let i = 0n; i < parts; i++) {
    part.writeBigUInt64LE(share(packets, parts, i), PACKETS.offset);
    part.writeBigUInt64LE(share(octets, parts, i), OCTETS.offset);
    yield part;
  }
}

/** The first ones have one more where it does not come out even. */
function share(total: bigint, parts: bigint, i: bigint): bigint {
  return total / parts + (i < total % parts ? 1n : 0n);
}
