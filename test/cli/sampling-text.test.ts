import t from 'tap';
import { samplingClause, samplingLines } from '../../src/cli/sampling-text.js';
import { METER_COUNTER } from '../../src/flow/flow-contract.gen.js';
import type { MeterCounters } from '../../src/flow/flow-source.js';
import type { Sampling } from '../../src/flow/sampling.js';

const ZERO = Object.fromEntries(
  Object.keys(METER_COUNTER).map((name) => [name, 0]),
) as MeterCounters;

const clauses: readonly (readonly [Sampling, string])[] = [
  [{ kind: 'none' }, ''],
  [{ kind: 'count', interval: 10 }, '; sampling one packet in 10, by count'],
  [{ kind: 'random', interval: 4096 }, '; sampling one packet in 4096, at random'],
  [{ kind: 'flow', interval: 2 }, '; sampling one flow in 2, by hash'],
];

for (const [sampling, text] of clauses) {
  t.test(`${sampling.kind} is said in words`, async (t) => {
    t.equal(samplingClause(sampling), text);
  });
}

t.test('the summary says what was not selected, and nothing without sampling', async (t) => {
  t.same(samplingLines({ ...ZERO, METERED_PACKETS: 23 }), []);
  t.same(samplingLines(undefined), []);
  t.same(
    samplingLines({
      ...ZERO,
      METERED_PACKETS: 100,
      NOT_SAMPLED_PACKETS: 900,
      NOT_SAMPLED_OCTETS: 115_200,
    }),
    ['sampled: 900 of 1000 packets were not selected, with 115200 octets; no number is scaled up'],
  );
});
