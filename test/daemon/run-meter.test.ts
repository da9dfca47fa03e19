import t from 'tap';
import { sweepIntervalMs } from '../../src/daemon/run-meter.js';
import { timeoutsOf } from '../support/timeouts.js';

t.test('sweeps four times in the shorter timeout, ten times a second at most', async (t) => {
  const cases = [
    { timeouts: timeoutsOf(15_000, 60_000), expected: 1000 },
    { timeouts: timeoutsOf(2_000, 5_000), expected: 500 },
    { timeouts: timeoutsOf(2_000, 1_000), expected: 250 },
    { timeouts: timeoutsOf(100, 100), expected: 100 },
    { timeouts: timeoutsOf(15_000, 60_000), sweepIntervalMs: 60_000, expected: 60_000 },
  ];
  for (const { expected, ...config } of cases) t.equal(sweepIntervalMs(config), expected);
});
