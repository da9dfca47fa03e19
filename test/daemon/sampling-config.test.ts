import fc from 'fast-check';
import t from 'tap';
import { ConfigError } from '../../src/daemon/config-error.js';
import { readSampling } from '../../src/daemon/sampling-config.js';
import type { Sampling } from '../../src/flow/sampling.js';

const good: readonly { given: string; expected: Sampling }[] = [
  { given: 'none', expected: { kind: 'none' } },
  { given: '10', expected: { kind: 'count', interval: 10 } },
  { given: 'count:2', expected: { kind: 'count', interval: 2 } },
  { given: 'random:100', expected: { kind: 'random', interval: 100 } },
  { given: 'flow:16777216', expected: { kind: 'flow', interval: 2 ** 24 } },
  { given: '0010', expected: { kind: 'count', interval: 10 } },
];

for (const { given, expected } of good) {
  t.test(`--sampling ${given}`, async (t) => {
    t.same(readSampling(given), expected);
  });
}

const bad: readonly { given: string; reason: RegExp }[] = [
  { given: '', reason: /no such way of sampling/ },
  { given: 'all', reason: /no such way of sampling/ },
  { given: 'every:10', reason: /no such way of sampling/ },
  { given: 'count:', reason: /no such way of sampling/ },
  { given: 'Count:10', reason: /no such way of sampling/ },
  { given: '1.5', reason: /no such way of sampling/ },
  { given: '-2', reason: /no such way of sampling/ },
  { given: '1/10', reason: /no such way of sampling/ },
  { given: '10 ', reason: /no such way of sampling/ },
  { given: '9'.repeat(16), reason: /no such way of sampling/ },
  { given: '0', reason: /out of range.*from 2 to 16777216/ },
  { given: '1', reason: /out of range/ },
  { given: 'flow:16777217', reason: /out of range/ },
];

for (const { given, reason } of bad) {
  t.test(`--sampling "${given}" is refused`, async (t) => {
    t.throws(() => readSampling(given), { name: 'ConfigError', message: reason });
  });
}

t.test('any text gives a usable interval or a ConfigError', async (t) => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^(count:|random:|flow:)?\d{0,18}$/));
  fc.assert(
    fc.property(text, (given) => {
      try {
        const sampling = readSampling(given);
        return (
          sampling.kind === 'none' ||
          (Number.isInteger(sampling.interval) && sampling.interval >= 2)
        );
      } catch (error) {
        return error instanceof ConfigError;
      }
    }),
  );
  t.pass();
});
