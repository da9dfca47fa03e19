import t from 'tap';
import {
  runMeterSession,
  startMeterSession,
  type MeterSessionOptions,
} from '../../src/daemon/meter-session.js';
import { FLOW_END_REASON } from '../../src/flow/flow-contract.gen.js';
import { batchOf, FakeSink, FakeSource } from './fake-flows.js';

const ONE = batchOf([{ packets: 2, octets: 100 }]);
const TWO = batchOf([
  { packets: 3, octets: 300, endReason: FLOW_END_REASON.FLOW_END_FORCED },
  { packets: 4, octets: 4_294_967_296 },
]);

/** A session whose waits end at once; it is aborted at the wait after `sweeps` of them. */
function prepare(source: FakeSource, sinks: FakeSink[], sweeps: number) {
  const controller = new AbortController();
  const notices: string[] = [];
  const waits: number[] = [];
  let now = 0;
  const options: MeterSessionOptions = {
    source,
    sinks,
    sweepIntervalMs: 500,
    signal: controller.signal,
    onNotice: (line) => notices.push(line),
    nowMs: () => now,
    wait: async (ms) => {
      waits.push(ms);
      now += ms;
      if (waits.length > sweeps) controller.abort();
    },
  };
  return { options, controller, notices, waits, advance: (ms: number) => (now += ms) };
}

t.test('sweeps, flushes after each sweep, and takes the rest out at the end', async (t) => {
  const log: string[] = [];
  const source = new FakeSource([[ONE], [], [ONE, TWO], [ONE]], log);
  const { options, waits } = prepare(source, [new FakeSink('a', log), new FakeSink('b', log)], 2);
  const summary = await runMeterSession(options);
  t.same(log, [
    ...['sweep expired', 'a write 1', 'b write 1', 'a flush', 'b flush'],
    ...['sweep expired', 'a flush', 'b flush'],
    'stop source',
    ...['sweep all', 'a write 1', 'b write 1', 'a write 2', 'b write 2', 'a flush', 'b flush'],
    ...['sweep all', 'a write 1', 'b write 1', 'a flush', 'b flush'],
    ...['sweep all', 'a flush', 'b flush'],
    ...['close source', 'close a', 'close b'],
  ]);
  t.same(waits, [500, 500, 500]);
  t.match(summary, { records: 5, packets: 13, octets: 4_294_967_896, durationMs: 1500 });
  t.same(summary.endReasons, { FLOW_END_IDLE_TIMEOUT: 4, FLOW_END_FORCED: 1 });
  t.equal(summary.counters?.METERED_PACKETS, 23);
  t.equal(summary.flowsLeftBehind, 0);
  t.same(summary.errors, { sweeps: 0, rescans: 0, sinks: 0, recordsNotWritten: 0 });
});

t.test('more flows than are wanted do not wait for the next sweep', async (t) => {
  const source = Object.assign(new FakeSource([[ONE], [ONE]]), { isCrowded: () => true });
  const { options, waits } = prepare(source, [new FakeSink('a', [])], 2);
  await runMeterSession(options);
  t.same(waits, [100, 100, 100]);
});

t.test('a source that is not crowded is asked again and again', async (t) => {
  const asked: number[] = [];
  const isCrowded = () => asked.push(0) === 3;
  const source = Object.assign(new FakeSource([[ONE], [ONE]]), { isCrowded });
  const { options, waits } = prepare(source, [new FakeSink('a', [])], 4);
  await runMeterSession(options);
  t.same(waits, [100, 100, 100, 100, 100], 'the third answer began a sweep');
  t.equal(source.sweeps.length, 0);
});

t.test('a session that is aborted before it begins still takes the flows out', async (t) => {
  const log: string[] = [];
  const sink = new FakeSink('a', log);
  const { options, controller } = prepare(new FakeSource([[TWO]], log), [sink], 0);
  controller.abort();
  await runMeterSession({ ...options, wait: async () => undefined });
  t.equal(sink.records, 2);
  t.notOk(log.includes('sweep expired'));
});

t.test('an abort in the middle of a sweep loses none of its batches', async (t) => {
  const log: string[] = [];
  const sink = new FakeSink('a', log);
  const source = new FakeSource([[ONE, TWO, ONE], [TWO]], log);
  const { options, controller } = prepare(source, [sink], 99);
  source.beforeBatch = () => {
    controller.abort();
  };
  const summary = await runMeterSession(options);
  t.equal(sink.records, 6);
  t.equal(summary.records, 6);
  t.same(
    log.filter((line) => line.startsWith('sweep')),
    ['sweep expired', 'sweep all', 'sweep all'],
  );
});

t.test('the last sweeps are bounded on a host that never falls silent', async (t) => {
  const source = new FakeSource(Array.from({ length: 100 }, () => [ONE]));
  source.flowsInCache = 3;
  const { options } = prepare(source, [], 0);
  const summary = await runMeterSession(options);
  t.equal(summary.flowsLeftBehind, 3);
  t.equal(summary.records, 8);
});

t.test('a flow that a pass could not take yet is waited for', async (t) => {
  const source = new FakeSource([[ONE], [], [], [ONE]]);
  source.flowsInCache = 2;
  source.beforeBatch = () => {
    source.flowsInCache--;
  };
  const { options } = prepare(source, [], 0);
  t.match(await runMeterSession(options), { records: 2, flowsLeftBehind: 0 });
});

t.test('a flow that no pass can take is said to be left', async (t) => {
  const source = new FakeSource([[ONE]]);
  source.flowsInCache = 1;
  const { options } = prepare(source, [], 0);
  t.match(await runMeterSession(options), { records: 1, flowsLeftBehind: 1 });
  t.equal(source.log.filter((line) => line === 'sweep all').length, 8);
});

t.test('a slow sweep does not delay the next ones', async (t) => {
  const source = new FakeSource([[ONE], [ONE], [], []]);
  const { options, waits, advance } = prepare(source, [], 3);
  const durations = [200, 800];
  source.beforeBatch = () => advance(durations.shift() ?? 0);
  await runMeterSession(options);
  t.same(waits, [500, 300, 0, 500]);
});

t.test('a sink that fails is counted, noticed once, and keeps none from the others', async (t) => {
  const log: string[] = [];
  const [broken, whole] = [new FakeSink('broken', log), new FakeSink('whole', log)];
  broken.writeError = 'no route';
  const source = new FakeSource([[TWO], [ONE], [TWO]], log);
  const { options, notices } = prepare(source, [broken, whole], 2);
  const summary = await runMeterSession(options);
  t.equal(whole.records, 5);
  t.match(summary.errors, { sinks: 3, recordsNotWritten: 5 });
  t.same(notices, ['write flow records: no route']);
});

t.test('a sweep that fails is counted, and the next one is made', async (t) => {
  const sink = new FakeSink('a', []);
  const source = new FakeSource(['interrupted', [TWO]]);
  const { options, notices } = prepare(source, [sink], 2);
  const summary = await runMeterSession(options);
  t.equal(sink.records, 2);
  t.equal(summary.errors.sweeps, 1);
  t.same(notices, ['sweep the flow cache: interrupted']);
});

t.test('a source that fails ten times in a row ends the session, all closed', async (t) => {
  const log: string[] = [];
  const source = new FakeSource(Array<string>(20).fill('map is gone'), log);
  const { options } = prepare(source, [new FakeSink('a', log)], 99);
  await t.rejects(runMeterSession(options), { message: 'map is gone' });
  t.equal(log.filter((line) => line.startsWith('sweep')).length, 10);
  t.same(log.slice(-2), ['close source', 'close a']);
});

t.test('when metering cannot be stopped the flows are taken out all the same', async (t) => {
  const source = new FakeSource([[ONE]]);
  source.stop = () => {
    throw new Error('device is gone');
  };
  const { options, notices } = prepare(source, [], 0);
  t.equal((await runMeterSession(options)).records, 1);
  t.same(notices, ['stop metering: device is gone']);
});

t.test('an error in closing is a notice, and the rest is closed all the same', async (t) => {
  const log: string[] = [];
  const source = new FakeSource([[ONE]], log);
  source.close = () => {
    throw new Error('device is gone');
  };
  const { options, notices } = prepare(source, [new FakeSink('a', log)], 1);
  t.equal((await runMeterSession(options)).records, 1);
  t.same(notices, ['release the flow source: device is gone']);
  t.equal(log.at(-1), 'close a');
});

t.test('an error is noticed again after a minute', async (t) => {
  const source = new FakeSource(['busy', 'busy', [], 'busy']);
  const { options, notices, advance } = prepare(source, [], 3);
  const original = source.sweep.bind(source);
  source.sweep = (scope) => {
    advance(25_000);
    return original(scope);
  };
  await runMeterSession(options);
  t.same(notices, ['sweep the flow cache: busy', 'sweep the flow cache: busy']);
});

t.test(
  'looks for new interfaces while it waits, at real time, and stops with the end',
  async (t) => {
    const controller = new AbortController();
    let scans = 0;
    await runMeterSession({
      source: new FakeSource([]),
      sinks: [],
      sweepIntervalMs: 60_000,
      signal: controller.signal,
      onNotice: () => undefined,
      rescanInterfaces: () => {
        if (++scans === 2) controller.abort();
        throw new Error('netlink');
      },
    }).then((summary) => {
      t.equal(scans, 2, 'two scans and an abort that ends a wait of a minute');
      t.equal(summary.errors.rescans, 2);
    });
  },
);

t.test('what a look for interfaces has left to do is done after others had a turn', async (t) => {
  const controller = new AbortController();
  const turns: string[] = [];
  await runMeterSession({
    source: new FakeSource([]),
    sinks: [],
    sweepIntervalMs: 60_000,
    signal: controller.signal,
    onNotice: () => undefined,
    rescanInterfaces: () => {
      turns.push('rescan');
      setImmediate(() => turns.push('other'));
      if (turns.length > 5) controller.abort();
      return true;
    },
  });
  t.same(turns.slice(0, 5), ['rescan', 'other', 'rescan', 'other', 'rescan']);
});

/** A session that waits until it is aborted. */
function startWaiting(source: FakeSource, sinks: FakeSink[]) {
  const { options, controller } = prepare(source, sinks, 99);
  const wait = (_ms: number, signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => {
        resolve();
      });
    });
  return { session: startMeterSession({ ...options, wait }), controller };
}

t.test('flows are exported on request, and the session goes on', async (t) => {
  const log: string[] = [];
  const source = new FakeSource([[ONE, TWO], [ONE]], log);
  const { session, controller } = startWaiting(source, [new FakeSink('a', log)]);
  t.equal(await session.expireAll(), 3);
  t.same(log, ['sweep all', 'a write 1', 'a write 2', 'a flush']);
  t.equal(session.statistics().flows, 3);
  controller.abort();
  const { records, deleted } = await session.ended;
  t.equal(records, 4);
  t.same(deleted, { records: 0, packets: 0, octets: 0 });
});

t.test('flows that are deleted on request come to no sink and are counted', async (t) => {
  const log: string[] = [];
  const source = new FakeSource([[ONE, TWO], [ONE]], log);
  const { session, controller } = startWaiting(source, [new FakeSink('a', log)]);
  const expected = { records: 3, packets: 9, octets: 4_294_967_696 };
  t.same(await session.deleteAll(), expected);
  t.same(log, ['sweep all']);
  controller.abort();
  const { records, packets, deleted } = await session.ended;
  t.same({ records, packets, deleted }, { records: 1, packets: 2, deleted: expected });
});

t.test('what is asked for waits for the sweep that there is', async (t) => {
  const log: string[] = [];
  const source = new FakeSource([[ONE], [TWO]], log);
  const { session, controller } = startWaiting(source, [new FakeSink('a', log)]);
  const asked = [session.expireAll(), session.deleteAll()];
  await Promise.all(asked);
  t.same(log, ['sweep all', 'a write 1', 'a flush', 'sweep all']);
  controller.abort();
  await session.ended;
});

t.test('a session that is over takes no requests', async (t) => {
  const { session, controller } = startWaiting(new FakeSource([]), []);
  t.notOk(session.isEnding());
  controller.abort();
  t.ok(session.isEnding(), 'from when it is told to end');
  await session.ended;
  await t.rejects(session.expireAll(), { message: 'the session is ending' });
  await t.rejects(session.deleteAll(), { message: 'the session is ending' });
});

t.test('a session that is abandoned leaves its flows behind', async (t) => {
  const log: string[] = [];
  const source = new FakeSource([[ONE, TWO]], log);
  source.flowsInCache = 3;
  const { session, controller } = startWaiting(source, [new FakeSink('a', log)]);
  session.abandon();
  controller.abort();
  const { records, flowsLeftBehind } = await session.ended;
  t.same({ records, flowsLeftBehind }, { records: 0, flowsLeftBehind: 3 });
  t.same(log, ['stop source', 'close source', 'close a']);
});

t.test('a request that fails is an error to who asked, and the session goes on', async (t) => {
  const source = new FakeSource(['trouble', 'trouble', [ONE], []]);
  const { session, controller } = startWaiting(source, []);
  await t.rejects(session.expireAll(), { message: 'the flow cache could not be read' });
  await t.rejects(session.deleteAll(), { message: 'trouble' });
  t.equal(await session.expireAll(), 1);
  controller.abort();
  t.match(await session.ended, { errors: { sweeps: 1 } });
});

t.test('more passes are made on request while flows are missing', async (t) => {
  const log: string[] = [];
  const source = new FakeSource([[TWO], [ONE], [ONE], [ONE], []], log);
  source.flowsInCache = 3;
  const { session, controller } = startWaiting(source, [new FakeSink('a', log)]);
  t.equal(await session.expireAll(), 3, 'as many as there were');
  t.equal((await session.deleteAll()).records, 2, 'or until a pass finds none');
  t.equal(log.filter((line) => line === 'sweep all').length, 5);
  source.flowsInCache = 0;
  controller.abort();
  await session.ended;
});
