// Counters of 64 bits as several of 32: nothing is lost, and nothing wraps.
import fc from 'fast-check';
import t from 'tap';
import { fitsWords, splitCounters } from '../../../src/exporter/records/saturated-counters.js';
import { FLOW_RECORD } from '../../../src/flow/flow-contract.gen.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { flowBatch } from '../../support/flow-description.js';

const MOST = 2n ** 32n - 1n;
const { packets: PACKETS, octets: OCTETS } = FLOW_RECORD.fields;

interface Counters {
  readonly packets: bigint;
  readonly octets: bigint;
}

function recordOf(counters: Counters): Buffer {
  return flowBatch([CURL_FLOW, { ...CURL_FLOW, ...counters }]).bytes;
}

function split(bytes: Buffer): Counters[] {
  return [...splitCounters(bytes, FLOW_RECORD.size)].length === 0
    ? []
    : Array.from(splitCounters(bytes, FLOW_RECORD.size), (part) => ({
        packets: part.readBigUInt64LE(PACKETS.offset),
        octets: part.readBigUInt64LE(OCTETS.offset),
      }));
}

t.test('both counters fit up to 2^32 - 1', async (t) => {
  const cases = [
    { packets: MOST, octets: MOST, expected: true },
    { packets: 1n, octets: MOST + 1n, expected: false },
    { packets: MOST + 1n, octets: 1n, expected: false },
    { packets: 2n ** 40n, octets: 2n ** 45n, expected: false },
  ];
  for (const { expected, ...counters } of cases) {
    t.equal(fitsWords(recordOf(counters), FLOW_RECORD.size), expected);
  }
});

t.test('a flow becomes as few records as hold it, of about the same size', async (t) => {
  t.same(split(recordOf({ packets: 7_000_000n, octets: 10_000_000_000n })), [
    { packets: 2_333_334n, octets: 3_333_333_334n },
    { packets: 2_333_333n, octets: 3_333_333_333n },
    { packets: 2_333_333n, octets: 3_333_333_333n },
  ]);
  t.same(split(recordOf({ packets: 1_000_000n, octets: MOST })), [
    { packets: 1_000_000n, octets: MOST },
  ]);
  t.same(split(recordOf({ packets: 1_000_000n, octets: MOST + 1n })), [
    { packets: 500_000n, octets: 2n ** 31n },
    { packets: 500_000n, octets: 2n ** 31n },
  ]);
});

t.test('the rest of the record is in each of them, and the record stays as it was', async (t) => {
  const bytes = recordOf({ packets: 7n, octets: 3n * MOST });
  const before = Buffer.from(bytes);
  for (const part of splitCounters(bytes, FLOW_RECORD.size)) {
    const whole = Buffer.from(before.subarray(FLOW_RECORD.size));
    part.copy(whole, PACKETS.offset, PACKETS.offset, PACKETS.offset + 8);
    part.copy(whole, OCTETS.offset, OCTETS.offset, OCTETS.offset + 8);
    t.ok(part.equals(whole));
  }
  t.ok(bytes.equals(before));
});

t.test('whatever a flow counted, the parts fit and sum up to it', async () => {
  const octets = fc.bigInt(MOST + 1n, 2n ** 44n);
  fc.assert(
    fc.property(octets, fc.bigInt(1n, 2n ** 40n), (octets, some) => {
      // A packet has less than 2^32 octets, so there is one for each part.
      const packets = octets / 65_535n + some;
      const parts = split(recordOf({ packets, octets }));
      const sum = (pick: (part: Counters) => bigint): bigint =>
        parts.reduce((total, part) => total + pick(part), 0n);
      return (
        sum((part) => part.packets) === packets &&
        sum((part) => part.octets) === octets &&
        parts.every((part) => part.packets > 0n && part.packets <= MOST && part.octets <= MOST)
      );
    }),
    { numRuns: 200 },
  );
});
