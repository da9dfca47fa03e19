import t from 'tap';
import { epochMs } from '../../src/flow/clock.js';

function nanoseconds(value: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(value, 4);
  return bytes;
}

void t.test('a kernel time becomes milliseconds since 1970', async (t) => {
  const CASES = [
    { name: 'the boot itself', ns: 0n, boot: 1_700_000_000_000.75, expected: 1_700_000_000_000 },
    { name: 'the fractions add up', ns: 300_000n, boot: 1000.75, expected: 1001 },
    { name: 'one second', ns: 1_000_000_000n, boot: 1000, expected: 2000 },
    {
      name: 'after 300 days the millisecond is still right',
      ns: 300n * 86_400n * 1_000_000_000n + 7_500_000n,
      boot: 1_700_000_000_000,
      expected: 1_700_000_000_000 + 300 * 86_400_000 + 7,
    },
  ];
  for (const { name, ns, boot, expected } of CASES) {
    t.equal(epochMs(nanoseconds(ns), 4, boot), expected, name);
  }
});
