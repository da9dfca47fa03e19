// A transport that takes several messages at a time, and as many of them as it likes.
import fc from 'fast-check';
import t from 'tap';
import { ExportError } from '../../../src/exporter/export-error.js';
import {
  ScriptedTransport,
  numberedFlows,
  startDelivery,
} from '../../support/scripted-transport.js';

class GreedyTransport extends ScriptedTransport {
  /** How many the next calls take at most; then all. */
  readonly #takes: number[];
  longestRun = 0;

  constructor(takes: readonly number[] = []) {
    super(false);
    this.#takes = [...takes];
  }

  async sendMany(messages: readonly Buffer[]): Promise<number> {
    this.longestRun = Math.max(this.longestRun, messages.length);
    const taken = messages.slice(0, this.#takes.shift());
    for (const message of taken) await this.send(message, message.length);
    return taken.length;
  }
}

function flows(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

t.test('however many go at a time, numbers have no gap', async (t) => {
  const takes = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(takes, fc.integer({ min: 1, max: 90 }), async (takes, count) => {
      const transport = new GreedyTransport(takes);
      const { delivery, told, counters } = startDelivery(t, transport);
      transport.connect();
      for (const number of flows(1, count)) await delivery.offer(numberedFlows(number));
      await delivery.drain(5000);
      const expected = flows(1, count).map((number) => `F${number}#${number - 1}`);
      t.same(told(), [['T#0', ...expected]]);
      t.equal(counters.records, count);
    }),
    { numRuns: 20 },
  );
});

t.test('templates come after so many messages, also within what waits', async (t) => {
  const transport = new GreedyTransport();
  const options = { templateRefreshMessages: 3 };
  const { delivery, told } = startDelivery(t, transport, options);
  for (const number of flows(1, 7)) await delivery.offer(numberedFlows(number));
  transport.connect();
  await delivery.drain(1000);
  t.same(told(), [['T#0', 'F1#0', 'F2#1', 'F3#2', 'T#3', 'F4#3', 'F5#4', 'F6#5', 'T#6', 'F7#6']]);
  t.equal(transport.longestRun, 3);
});

t.test(
  'one that is lost leaves a gap, and the others are sent again by their numbers',
  async (t) => {
    const transport = new GreedyTransport();
    const { delivery, told, counters } = startDelivery(t, transport);
    for (const number of flows(1, 4)) await delivery.offer(numberedFlows(number));
    transport.permits = 1;
    transport.connect();
    await transport.until(() => transport.messages.length === 1);
    transport.failures.push(new ExportError('send', 'send', 'EMSGSIZE'));
    transport.permit(100);
    await delivery.drain(1000);
    t.same(told(), [['T#0', 'F2#1', 'F3#2', 'F4#3']]);
    t.match(counters, { records: 3, lostRecords: 1, lostPackets: 1, sendErrors: 1 });
  },
);
