import t from 'tap';
import { sweepIntervalMs } from '../../src/daemon/run-meter.js';

t.test('sweeps four times in the shorter timeout, ten times a second at most', async (t) => {
  const cases = [
    { activeTimeoutMs: 60_000, idleTimeoutMs: 15_000, expected: 1000 },
    { activeTimeoutMs: 5_000, idleTimeoutMs: 2_000, expected: 500 },
    { activeTimeoutMs: 1_000, idleTimeoutMs: 2_000, expected: 250 },
    { activeTimeoutMs: 100, idleTimeoutMs: 100, expected: 100 },
  ];
  for (const { expected, ...config } of cases) t.equal(sweepIntervalMs(config), expected);
});
