// Several collectors of which each flow goes to one: by a hash of the connection, so that both of its
// directions, and all of its records, come to the same one.
import { FLOW_RECORD } from '../flow/flow-contract.gen.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowRecordBatch } from '../flow/flow-source.js';

const F = FLOW_RECORD.fields;
const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);
const ADDRESS_WORDS = F.source_address.size / 4;

/** @param sinks at least one; the flows of each stay with it for as long as their number does */
export function createBalancedSink(sinks: readonly FlowSink[]): FlowSink {
  // Grows to the largest batch and stays.
  let parts = sinks.map(() => Buffer.alloc(0));
  return {
    write: async (batch) => {
      if ((parts[0]?.length ?? 0) < batch.bytes.length) {
        parts = sinks.map(() => Buffer.alloc(batch.bytes.length));
      }
      const batches = divide(batch, parts);
      await all(sinks, (sink, i) => sink.write(batches[i] ?? { bytes: batch.bytes, count: 0 }));
    },
    flush: () => all(sinks, (sink) => sink.flush()),
    close: () => all(sinks, (sink) => sink.close()),
  };
}

/** Waits for all of them, and throws the first error. */
async function all(
  sinks: readonly FlowSink[],
  act: (sink: FlowSink, i: number) => Promise<void>,
): Promise<void> {
  const results = await Promise.allSettled(sinks.map(act));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function divide(batch: FlowRecordBatch, parts: readonly Buffer[]): FlowRecordBatch[] {
  const counts = parts.map(() => 0);
  for (let i = 0; i < batch.count; i++) {
    const offset = i * FLOW_RECORD.size;
    const part = connectionHash(batch.bytes, offset) % parts.length;
    const at = (counts[part] ?? 0) * FLOW_RECORD.size;
    batch.bytes.copy(parts[part] ?? batch.bytes, at, offset, offset + FLOW_RECORD.size);
    counts[part] = (counts[part] ?? 0) + 1;
  }
  return parts.map((bytes, i) => ({ bytes, count: counts[i] ?? 0 }));
}

/** The same for both directions: what differs between them is added up, which has no order. */
export function connectionHash(bytes: Buffer, offset: number): number {
  const source = endHash(bytes, offset + F.source_address.offset, offset + F.source_port.offset);
  const destination = endHash(
    bytes,
    offset + F.destination_address.offset,
    offset + F.destination_port.offset,
  );
  const protocol = bytes[offset + F.protocol.offset] ?? 0;
  // An ICMP record's destination port is its type, which differs between a request and its reply.
  const ends = ICMP_PROTOCOLS.has(protocol)
    ? addressHash(bytes, offset + F.source_address.offset) +
      addressHash(bytes, offset + F.destination_address.offset)
    : source + destination;
  return mix(ends ^ protocol);
}

function endHash(bytes: Buffer, address: number, port: number): number {
  return mix(addressHash(bytes, address) ^ bytes.readUInt16LE(port));
}

function addressHash(bytes: Buffer, address: number): number {
  let hash = 0;
  for (let i = 0; i < ADDRESS_WORDS; i++) hash = mix(hash ^ bytes.readUInt32LE(address + 4 * i));
  return hash;
}

/** The finalizer of MurmurHash3: every bit of the input changes half of the result's. */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
