import fc from 'fast-check';
import t from 'tap';
import { bootEpochOf, epochMs } from '../../src/flow/clock.js';

function nanoseconds(value: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(value, 4);
  return bytes;
}

const MS = 1_000_000n;
const EPOCH_MS = 1_700_000_000_000n;

t.test('a kernel time becomes milliseconds since 1970', async (t) => {
  const CASES = [
    { name: 'the boot itself, cut', ns: 0n, epochNs: EPOCH_MS * MS + 750_000n, ms: EPOCH_MS },
    { name: 'the fractions add up', ns: 300_000n, epochNs: 1_000_750_000n, ms: 1001n },
    { name: 'one second', ns: 1_000_000_000n, epochNs: 1000n * MS, ms: 2000n },
    { name: 'a nanosecond before the next', ns: 999_999n, epochNs: EPOCH_MS * MS, ms: EPOCH_MS },
    {
      name: 'after 300 days',
      ns: (300n * 86_400_000n + 7n) * MS + 999_999n,
      epochNs: EPOCH_MS * MS,
      ms: EPOCH_MS + 300n * 86_400_000n + 7n,
    },
  ];
  for (const { name, ns, epochNs, ms } of CASES) {
    t.equal(epochMs(nanoseconds(ns), 4, bootEpochOf(epochNs)), Number(ms), name);
  }
});

t.test('the millisecond is right at any time of day and after any uptime', async () => {
  const YEAR_NS = 31_557_600_000_000_000n;
  // Near the ends of milliseconds, where a rounded sum is wrong.
  const time = (maxNs: bigint) =>
    fc
      .tuple(fc.bigInt(1n, maxNs / MS), fc.bigInt(-300n, 300n))
      .map(([milliseconds, off]) => milliseconds * MS + off);
  fc.assert(
    fc.property(time(130n * YEAR_NS), time(4n * YEAR_NS), (epochNs, ns) => {
      const ms = epochMs(nanoseconds(ns), 4, bootEpochOf(epochNs));
      if (BigInt(ms) !== (epochNs + ns) / MS) throw new Error(`${ms}`);
    }),
    { numRuns: 2000 },
  );
});
