import t from 'tap';
import { createPacer } from '../../../src/exporter/delivery/pacer.js';

t.test('a burst goes at once, and then as many as the rate allows', async (t) => {
  let nowMs = 1000;
  const pacer = createPacer({ messagesPerSecond: 2000, burstMessages: 3, nowMs: () => nowMs });
  t.same([pacer.take(), pacer.take(), pacer.take()], [0, 0, 0]);
  t.equal(pacer.take(), 1, 'wait half a millisecond, in whole ones');
  nowMs += 0.5;
  t.equal(pacer.take(), 0);
  t.equal(pacer.take(), 1);
  nowMs += 60_000;
  t.same([pacer.take(), pacer.take(), pacer.take()], [0, 0, 0], 'a pause saves up one burst');
  t.equal(pacer.take(), 1);
});

t.test('a slow rate says how long it takes', async (t) => {
  const pacer = createPacer({ messagesPerSecond: 4, burstMessages: 1, nowMs: () => 0 });
  t.equal(pacer.take(), 0);
  t.equal(pacer.take(), 250);
});
