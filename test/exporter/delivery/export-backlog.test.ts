// Messages on their way: what waits, what was sent, and what is to be sent again.
import fc from 'fast-check';
import t from 'tap';
import { ExportBacklog } from '../../../src/exporter/delivery/export-backlog.js';
import {
  isFlowMessage,
  type OutgoingMessage,
} from '../../../src/exporter/messages/outgoing-message.js';
import { controlMessage, numberedFlows } from '../../support/scripted-transport.js';

function numbers(messages: readonly OutgoingMessage[]): number[] {
  return messages.map((message) => (isFlowMessage(message) ? message.packets : -1));
}

/** With the messages 1 to `count` of 100 octets. */
function filled(count: number, limitOctets = 1000): ExportBacklog {
  const backlog = new ExportBacklog(limitOctets);
  for (let i = 1; i <= count; i++) backlog.put(numberedFlows(i, 100));
  return backlog;
}

t.test('messages go in their order, and count until they have arrived', async (t) => {
  const backlog = filled(3);
  t.equal(backlog.peek()?.packets, 1);
  t.equal(backlog.peek()?.packets, 1, 'looking takes nothing');
  backlog.sent();
  backlog.sent();
  t.equal(backlog.peek()?.packets, 3);
  t.equal(backlog.octets, 300);
  t.same(numbers(backlog.arrived(1)), [1]);
  t.equal(backlog.octets, 200);
  backlog.sent();
  t.equal(backlog.peek(), undefined);
  t.notOk(backlog.isEmpty, 'nothing waits, but something may have to go again');
  t.same(numbers(backlog.arrived(2)), [2, 3]);
  t.ok(backlog.isEmpty);
});

t.test('arrivals are counted with the templates among the messages', async (t) => {
  const backlog = filled(2);
  backlog.controlSent(controlMessage('T'));
  backlog.sent();
  backlog.controlSent(controlMessage('T'));
  backlog.sent();
  t.same(numbers(backlog.arrived(1)), [-1]);
  t.equal(backlog.octets, 200, 'templates take no room');
  t.same(numbers(backlog.arrived(2)), [1, -1]);
  t.same(numbers(backlog.arrived(9)), [2], 'no more than were sent');
});

t.test('what has not arrived when a session ends goes first, without its templates', async (t) => {
  const backlog = filled(5);
  backlog.controlSent(controlMessage('T'));
  for (let i = 0; i < 3; i++) backlog.sent();
  t.same(numbers(backlog.arrived(2)), [-1, 1]);
  backlog.rewind();
  t.equal(backlog.octets, 400);
  t.same(numbers(backlog.arrived(9)), [], 'nothing is on its way');
  t.equal(backlog.peek()?.packets, 2);
  t.same(numbers(backlog.clear()), [2, 3, 4, 5]);
});

t.test('a message that is given up makes room', async (t) => {
  const backlog = filled(2);
  backlog.drop();
  t.equal(backlog.peek()?.packets, 2);
  t.equal(backlog.octets, 100);
  backlog.drop();
  backlog.drop();
  t.equal(backlog.octets, 0, 'and not twice');
});

t.test('clear gives all that has not arrived, in order, and begins anew', async (t) => {
  const backlog = filled(4);
  backlog.sent();
  backlog.sent();
  t.same(numbers(backlog.clear()), [1, 2, 3, 4]);
  t.ok(backlog.isEmpty);
  t.equal(backlog.peek(), undefined);
  t.same(numbers(backlog.clear()), []);
  backlog.put(numberedFlows(5));
  t.equal(backlog.peek()?.packets, 5);
});

t.test('the limit is of octets, and what is longer than it has room alone', async (t) => {
  const backlog = filled(9);
  t.ok(backlog.hasRoom(numberedFlows(10, 100)), 'to the last octet');
  t.notOk(backlog.hasRoom(numberedFlows(10, 101)));
  backlog.sent();
  t.notOk(backlog.hasRoom(numberedFlows(10, 101)), 'what is on its way takes room');
  backlog.arrived(1);
  t.ok(backlog.hasRoom(numberedFlows(10, 101)));
  backlog.clear();
  t.ok(backlog.hasRoom(numberedFlows(10, 5000)));
  backlog.put(numberedFlows(10, 5000));
  t.notOk(backlog.hasRoom(numberedFlows(11, 16)));
});

t.test('whatever happens, each message leaves once and in order', async () => {
  const acts = fc.constantFrom('put', 'send', 'control', 'arrive', 'drop', 'rewind');
  fc.assert(
    fc.property(fc.array(acts, { maxLength: 400 }), (script) => {
      const backlog = new ExportBacklog(Infinity);
      const left: number[] = [];
      const dropped = new Set<number>();
      let put = 0;
      for (const act of script) {
        if (act === 'put') backlog.put(numberedFlows(++put, 30));
        else if (act === 'send') backlog.sent();
        else if (act === 'control') backlog.controlSent(controlMessage('T'));
        else if (act === 'arrive') left.push(...numbers(backlog.arrived(2)));
        else if (act === 'rewind') backlog.rewind();
        else {
          const next = backlog.peek();
          if (next !== undefined) dropped.add(next.packets);
          backlog.drop();
        }
        const arrived = left.filter((number) => number > 0).length;
        if (backlog.octets !== 30 * (put - arrived - dropped.size)) return false;
      }
      left.push(...numbers(backlog.clear()));
      const found = left.filter((number) => number > 0);
      const expected = Array.from({ length: put }, (_, i) => i + 1);
      return String(found) === String(expected.filter((number) => !dropped.has(number)));
    }),
  );
});

t.test('a long queue is not moved for each message that leaves', async (t) => {
  const count = 1_000_000;
  const backlog = new ExportBacklog(Infinity);
  const message = numberedFlows(1);
  for (let i = 0; i < count; i++) backlog.put(message);
  const startMs = performance.now();
  for (let i = 0; i < count; i++) {
    backlog.sent();
    backlog.arrived(1);
  }
  // By shift() it takes minutes: a quarter of them had left after 50 s.
  t.ok(performance.now() - startMs < 5000);
  t.ok(backlog.isEmpty);
});
