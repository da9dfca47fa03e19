import t from 'tap';
import { TimeShare } from '../../src/process/time-share.js';

t.test('work runs while there is credit, and credit grows with the time that passes', async (t) => {
  let now = 0;
  const time = new TimeShare({ share: 0.1, maxCreditMs: 10, nowMs: () => now });
  const work = (ms: number) => (): string => {
    now += ms;
    return 'done';
  };
  t.equal(time.run(work(6)), 'done');
  t.equal(time.run(work(6)), 'done', 'what is begun with credit is ended');
  t.equal(time.run(work(1)), undefined, 'then there is none');
  now += 5;
  t.equal(time.run(work(0)), undefined, '1.7 ms came in for 17, but 2 were owed');
  now += 5;
  t.equal(time.run(work(30)), 'done');
  now += 10_000;
  t.equal(time.run(work(15)), 'done', 'a long rest');
  t.equal(time.run(work(1)), undefined, 'gives no more than one burst');
});

t.test('work that throws has taken its time too', async (t) => {
  let now = 0;
  const time = new TimeShare({ share: 0.1, maxCreditMs: 10, nowMs: () => now });
  t.throws(() =>
    time.run(() => {
      now += 20;
      throw new Error('no');
    }),
  );
  t.equal(
    time.run(() => 'done'),
    undefined,
  );
});
