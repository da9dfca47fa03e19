// From the backlog to the transport: sessions, headers, losses, and when the exporter waits.
import t from 'tap';
import { ExportError } from '../../../src/exporter/export-error.js';
import {
  ScriptedTransport,
  controlMessage,
  numberedFlows,
  startDelivery,
} from '../../support/scripted-transport.js';
import { eventually } from '../../support/tcp-collector.js';

const EXPORT_TIME = 4;

t.test('templates, then options, then flows, with the numbers of the standard', async (t) => {
  const transport = new ScriptedTransport();
  const control = {
    templates: () => [controlMessage('T')],
    options: () => [controlMessage('O')],
  };
  const { delivery, told, counters } = startDelivery(t, transport, { control });
  transport.connect();
  await delivery.offer(numberedFlows(1));
  await delivery.offer(numberedFlows(2));
  await delivery.drain(1000);
  t.same(told(), [['T#0', 'O#0', 'F1#1', 'F2#2']], 'options data are data records too');
  t.match(counters, { messages: 4, octets: 96, records: 2, templates: 2, optionsRecords: 1 });
});

t.test('a header says when the message left, not when it was packed', async (t) => {
  const transport = new ScriptedTransport();
  const { delivery, clock } = startDelivery(t, transport);
  await delivery.offer(numberedFlows(1));
  clock.now = 5_000_000_000_000n;
  transport.connect();
  await delivery.drain(1000);
  t.equal(transport.messages[1]?.readUInt32BE(EXPORT_TIME), 5000);
});

t.test('another session begins with templates, at 0, with all that had not arrived', async (t) => {
  const transport = new ScriptedTransport();
  const { delivery, told, counters, backlog } = startDelivery(t, transport);
  transport.connect();
  transport.arrivals = 3;
  for (const number of [1, 2, 3, 4]) await delivery.offer(numberedFlows(number));
  await transport.until(() => transport.messages.length === 5);
  transport.disconnect(3);
  await delivery.offer(numberedFlows(5));
  await eventually(() => counters.records === 2);
  t.equal(backlog.octets, 3 * 24, 'what has arrived has left');
  transport.connect();
  await delivery.drain(1000);
  t.same(told(), [
    ['T#0', 'F1#0', 'F2#1', 'F3#2', 'F4#3'],
    ['T#0', 'F3#0', 'F4#1', 'F5#2'],
  ]);
  t.match(counters, { records: 5, newSessions: 1, lostRecords: 0, sendErrors: 0 });
});

t.test('a session that is lost while nothing waits sends again too', async (t) => {
  const transport = new ScriptedTransport();
  const { delivery, told, counters } = startDelivery(t, transport);
  transport.connect();
  transport.arrivals = 1;
  await delivery.offer(numberedFlows(1));
  await transport.until(() => transport.messages.length === 2);
  transport.disconnect(1);
  transport.connect();
  await delivery.drain(1000);
  t.same(told(), [
    ['T#0', 'F1#0'],
    ['T#0', 'F1#0'],
  ]);
  t.equal(counters.records, 1);
});

t.test('a message that is not sent is counted to the record, and leaves a gap', async (t) => {
  const transport = new ScriptedTransport(false);
  const { delivery, told, counters } = startDelivery(t, transport);
  transport.connect();
  await delivery.drain(1000);
  const beforeMs = Date.now();
  transport.failures.push(new ExportError('send', 'send to a script', 'ENOBUFS'));
  await delivery.offer(numberedFlows(3));
  await delivery.offer(numberedFlows(4));
  await delivery.drain(1000);
  t.same(told(), [['T#0', 'F4#1']]);
  t.match(counters, {
    sendErrors: 1,
    ...{ records: 1, lostRecords: 1, lostPackets: 3, lostOctets: 100 },
    lastError: 'send to a script: ENOBUFS',
  });
  const { firstLossMs = 0, lastLossMs } = counters;
  t.ok(firstLossMs >= beforeMs && firstLossMs <= Date.now());
  t.equal(lastLossMs, firstLossMs);
});

t.test('templates that were not sent are sent with the next flows, and not before', async (t) => {
  const transport = new ScriptedTransport(false);
  const { delivery, told, counters } = startDelivery(t, transport);
  transport.failures.push(new ExportError('send', 'send to a script', 'ENOBUFS'));
  transport.connect();
  await delivery.drain(1000);
  await new Promise(setImmediate);
  t.same(told(), [[]], 'a network that takes nothing is not asked all the time');
  await delivery.offer(numberedFlows(1));
  await delivery.offer(numberedFlows(2));
  await delivery.drain(1000);
  t.same(told(), [['T#0', 'F1#0', 'F2#1']]);
  t.match(counters, { sendErrors: 1, lostRecords: 0, templates: 2 });
});

t.test('a collector that has missed something gets the templates again, in time', async (t) => {
  const transport = new ScriptedTransport(false);
  const { delivery, told } = startDelivery(t, transport);
  transport.connect();
  await delivery.offer(numberedFlows(1));
  await delivery.drain(1000);
  transport.refused = 1;
  await delivery.offer(numberedFlows(2));
  await delivery.drain(1000);
  await delivery.offer(numberedFlows(3));
  await delivery.drain(1000);
  t.same(told(), [['T#0', 'F1#0', 'T#1', 'F2#1', 'F3#2']]);
  // Their messages are refused too, while it is away.
  transport.refused = 2;
  await delivery.offer(numberedFlows(4));
  await delivery.drain(1000);
  t.same(told()[0]?.slice(5), ['F4#3'], 'not with each message');
  t.intercept(performance, 'now', { value: () => Infinity });
  await delivery.offer(numberedFlows(5));
  await transport.until(() => transport.messages.length === 8);
  t.same(told()[0]?.slice(6), ['T#4', 'F5#4'], 'but later without another refusal');
});

t.test('the end waits also for templates that are on their way', async (t) => {
  const transport = new ScriptedTransport(false);
  transport.permits = 0;
  const { delivery, told } = startDelivery(t, transport);
  transport.connect();
  const asked = transport.until(() => transport.isAsked);
  await asked;
  let isDrained = false;
  const drained = delivery.drain(10_000).then(() => {
    isDrained = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.notOk(isDrained, 'they are neither due nor in the backlog, but not sent');
  transport.permit(1);
  await drained;
  t.same(told(), [['T#0']]);
});

t.test('a full backlog waits as long as messages leave it', async (t) => {
  const transport = new ScriptedTransport();
  transport.permits = 0;
  transport.connect();
  const { delivery, counters, backlog } = startDelivery(t, transport, { limitOctets: 3 * 24 });
  // Six of them have to leave, well within the two seconds that a sweep waits in all.
  const slow = setInterval(() => transport.permit(1), 150);
  t.teardown(() => clearInterval(slow));
  for (let i = 1; i <= 8; i++) {
    await delivery.offer(numberedFlows(i));
    t.ok(backlog.octets <= 3 * 24);
  }
  await delivery.drain(2000);
  t.match(counters, { records: 8, lostRecords: 0 });
});

t.test('where nothing leaves, what has no room is counted, without a wait for each', async (t) => {
  const transport = new ScriptedTransport();
  const { delivery, counters, told } = startDelivery(t, transport, { limitOctets: 3 * 24 });
  const startMs = performance.now();
  for (let i = 1; i <= 200; i++) await delivery.offer(numberedFlows(i));
  const tookMs = performance.now() - startMs;
  t.ok(tookMs >= 1000 && tookMs < 2500, `${tookMs} ms`);
  const lostPackets = (200 * 201) / 2 - (1 + 2 + 3);
  t.match(counters, { records: 0, lostRecords: 197, lostPackets, sendErrors: 0 });
  t.match(counters.lastError, /the backlog is full: the collector does not keep up/);

  transport.connect();
  await delivery.drain(1000);
  for (let i = 201; i <= 220; i++) await delivery.offer(numberedFlows(i));
  await delivery.drain(1000);
  const labels = told()[0]?.map((label) => label.split('#')[0]);
  const after = Array.from({ length: 20 }, (_, i) => `F${201 + i}`);
  t.same(labels, ['T', 'F1', 'F2', 'F3', ...after], 'what was kept goes, and all that comes then');
  t.match(counters, { records: 23, lostRecords: 197 });
});

t.test('a collector that takes little is waited for, but not for long in one sweep', async (t) => {
  const transport = new ScriptedTransport();
  const { delivery, counters } = startDelivery(t, transport, {
    limitOctets: 2 * 24,
  });
  transport.permits = 0;
  transport.connect();
  const trickle = setInterval(() => transport.permit(1), 100);
  t.teardown(() => clearInterval(trickle));
  const offered = 200;
  // At ten a second they would take twenty seconds, and something leaves all the time.
  const sweep = async (): Promise<number> => {
    const startMs = performance.now();
    delivery.beginSweep();
    for (let i = 1; i <= offered; i++) await delivery.offer(numberedFlows(i));
    return performance.now() - startMs;
  };
  const tookMs = await sweep();
  t.ok(tookMs > 1500 && tookMs < 10_000, `it took ${tookMs} ms`);
  t.ok(counters.records > 5, 'while it was waited for, they went');
  t.ok(counters.lostRecords > offered / 2, 'and then what had no room was counted');
  t.equal(counters.lastError, 'the backlog is full: the collector does not keep up');
  const before = counters.records;
  await sweep();
  t.ok(counters.records > before + 5, 'the next sweep waits anew');
  await delivery.stop();
  t.equal(counters.records + counters.lostRecords, 2 * offered, 'each is counted once');
});

t.test('at the end what has not arrived is lost, and counted', async (t) => {
  const transport = new ScriptedTransport();
  const { delivery, counters, backlog } = startDelivery(t, transport);
  transport.connect();
  transport.arrivals = 2;
  for (const number of [1, 2, 3]) await delivery.offer(numberedFlows(number));
  await transport.until(() => transport.messages.length === 4);
  const startMs = performance.now();
  await delivery.drain(100);
  t.ok(performance.now() - startMs >= 100, 'drain waits for what moves');
  await delivery.stop();
  t.match(counters, { records: 1, lostRecords: 2, lostPackets: 5, lostOctets: 200 });
  t.equal(counters.lastError, 'the exporter ended before the collector took them');
  t.ok(transport.isClosed);
  t.ok(backlog.isEmpty);
});

for (const [name, prepare] of [
  ['that waits for a session', () => undefined],
  ['with nothing to do', (transport: ScriptedTransport) => transport.connect()],
  [
    'in the middle of a message',
    (transport: ScriptedTransport) => {
      transport.permits = 0;
      transport.connect();
    },
  ],
] as const) {
  t.test(`a delivery ${name} ends at once`, async (t) => {
    const transport = new ScriptedTransport();
    const { delivery, counters, told } = startDelivery(t, transport);
    prepare(transport);
    await delivery.offer(numberedFlows(1));
    await delivery.drain(50);
    const startMs = performance.now();
    await delivery.stop();
    t.ok(performance.now() - startMs < 500);
    t.equal(counters.records + counters.lostRecords, 1, 'each record is counted once');
    const sent = told().flat();
    transport.permit(9);
    await new Promise(setImmediate);
    t.same(told().flat(), sent, 'nothing goes afterwards');
  });
}

t.test('templates come due by time when woken, without flows', async (t) => {
  const transport = new ScriptedTransport(false);
  const { delivery, told, clock } = startDelivery(t, transport);
  transport.connect();
  await delivery.drain(1000);
  clock.now += 59_999_000_000n;
  delivery.wake();
  await delivery.drain(1000);
  t.same(told(), [['T#0']]);
  clock.now += 1_000_000n;
  delivery.wake();
  await delivery.drain(1000);
  t.same(told(), [['T#0', 'T#0']]);
});

for (const templateMessages of [1, 3]) {
  const name = `templates of ${templateMessages} messages come due by messages with flows`;
  t.test(name, async (t) => {
    const transport = new ScriptedTransport(false);
    const templates = Array.from({ length: templateMessages }, () => controlMessage('T'));
    const control = { templates: () => templates, options: () => [] };
    const options = { control, templateRefreshMessages: 2 };
    const { delivery, told } = startDelivery(t, transport, options);
    transport.connect();
    for (const number of [1, 2, 3]) {
      await delivery.offer(numberedFlows(number));
      await delivery.drain(1000);
    }
    const all = templates.map(() => 'T');
    const labels = told()[0]?.map((label) => label.split('#')[0]);
    t.same(labels, [...all, 'F1', 'F2', ...all, 'F3']);
  });
}

t.test('templates before each message is the most that can be asked for', async (t) => {
  const transport = new ScriptedTransport(false);
  const { delivery, told } = startDelivery(t, transport, { templateRefreshMessages: 1 });
  transport.connect();
  for (const number of [1, 2]) await delivery.offer(numberedFlows(number));
  await delivery.drain(1000);
  t.same(told()[0]?.slice(0, 4), ['T#0', 'F1#0', 'T#1', 'F2#1']);
  await new Promise(setImmediate);
  t.ok(transport.messages.length <= 5, 'and they are not sent again and again');
});

t.test('what records refer to is announced before them', async (t) => {
  const transport = new ScriptedTransport();
  const news: string[] = [];
  const control = {
    templates: () => [controlMessage('T')],
    options: () => [],
    announcements: () => news.splice(0, 1).map(controlMessage),
  };
  const { delivery, told } = startDelivery(t, transport, { control });
  transport.connect();
  await delivery.offer(numberedFlows(1));
  await delivery.drain(1000);
  news.push('A', 'B');
  await delivery.offer(numberedFlows(2));
  await delivery.drain(1000);
  t.same(told(), [['T#0', 'F1#0', 'A#1', 'B#2', 'F2#3']]);
});
