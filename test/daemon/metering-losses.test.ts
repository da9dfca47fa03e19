import t from 'tap';
import { MeteringLossWatch } from '../../src/daemon/metering-losses.js';
import { METER_COUNTER } from '../../src/flow/flow-contract.gen.js';
import type { MeterCounters } from '../../src/flow/flow-source.js';

function countersOf(LOST_PACKETS: number, LOST_OCTETS: number): MeterCounters {
  const zeros = Object.fromEntries(Object.keys(METER_COUNTER).map((name) => [name, 0]));
  return { ...(zeros as MeterCounters), LOST_PACKETS, LOST_OCTETS };
}

const NOTHING = { packets: 0, octets: 0, firstMs: undefined, lastMs: undefined };

t.test('times are those of the looks at which more was lost', async (t) => {
  let nowMs = 1000;
  t.intercept(Date, 'now', { value: () => nowMs });
  let counters: MeterCounters | undefined;
  const watch = new MeteringLossWatch(() => counters);
  t.same(watch.losses(), NOTHING, 'before there is anything to look at');
  counters = countersOf(0, 0);
  t.same(watch.losses(), NOTHING);
  counters = countersOf(2, 200);
  nowMs = 2000;
  t.same(watch.losses(), { packets: 2, octets: 200, firstMs: 2000, lastMs: 2000 });
  nowMs = 3000;
  t.same(watch.losses(), { packets: 2, octets: 200, firstMs: 2000, lastMs: 2000 }, 'no more');
  counters = countersOf(3, 240);
  nowMs = 4000;
  t.same(watch.losses(), { packets: 3, octets: 240, firstMs: 2000, lastMs: 4000 });
  counters = undefined;
  nowMs = 5000;
  const last = { packets: 3, octets: 240, firstMs: 2000, lastMs: 4000 };
  t.same(watch.losses(), last, 'what is known stays when there is nothing left to look at');
});
