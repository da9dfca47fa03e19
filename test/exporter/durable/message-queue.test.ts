// A queue of messages in memory that outlives the process: what a run finds that another has left there,
// wherever it was killed.
import fc from 'fast-check';
import t from 'tap';
import { DurableMemory } from '../../../src/exporter/durable/durable-memory.js';
import {
  MessageQueue,
  NO_COMMIT,
  type BatchCommit,
} from '../../../src/exporter/durable/message-queue.js';
import type { FlowMessage } from '../../../src/exporter/messages/outgoing-message.js';
import { controlMessage, numberedFlows } from '../../support/scripted-transport.js';

const FINGERPRINT = Buffer.alloc(32, 7);
const OTHER_FINGERPRINT = Buffer.alloc(32, 8);
/** What comes before the messages, as the layout has it. */
const HEADER_OCTETS = 8192;
/** Of struct mmsghdr: where sendmmsg() writes how much of a message went. */
const MMSGHDR_OCTETS = 64;
const MSG_LEN = 56;

function memoryFor(ringOctets: number): Buffer {
  return Buffer.alloc(HEADER_OCTETS + ringOctets);
}

function open(bytes: Buffer, commit: BatchCommit = NO_COMMIT): MessageQueue {
  return new MessageQueue(new DurableMemory(bytes), FINGERPRINT, commit);
}

function numbers(messages: readonly FlowMessage[]): number[] {
  return messages.map(({ packets }) => packets);
}

/** What a run finds that begins with this memory; the memory stays as it is. */
function found(bytes: Buffer, commit?: BatchCommit): number[] {
  return numbers(open(Buffer.from(bytes), commit).left);
}

t.test('the next run finds what was not released, as it was', async (t) => {
  const bytes = memoryFor(4096);
  const queue = open(bytes);
  t.same(queue.left, []);
  const times = {
    bootEpoch: { seconds: 1_704_164_645, nanoseconds: 250_000_001 },
    uptimeZeroMs: 1_704_000_000_123,
    packedMs: 1_704_164_650_000.25,
  };
  const messages = [1, 2, 3].map((number) =>
    queue.put({ ...numberedFlows(number, 100 + number), times, dataRecords: 9, octets: 2 ** 40 }),
  );
  messages[1]?.memory?.release();
  const [first, third, ...others] = open(bytes).left;
  t.same(others, []);
  t.equal(first?.bytes.toString('latin1', 16, 18), 'F1');
  t.equal(first?.bytes.length, 101);
  const { packets, octets, dataRecords, templateRecords } = third ?? numberedFlows(0);
  t.same(
    { packets, octets, dataRecords, templateRecords },
    {
      ...{ packets: 3, octets: 2 ** 40 },
      ...{ dataRecords: 9, templateRecords: 0 },
    },
  );
  t.same(third?.times, times);
});

t.test('its room is used again, in whatever order messages leave', async (t) => {
  const lengths = fc.integer({ min: 24, max: 1400 });
  const acts = fc.array(fc.tuple(fc.constantFrom('put', 'release', 'reopen'), lengths), {
    maxLength: 300,
  });
  fc.assert(
    fc.property(acts, fc.infiniteStream(fc.nat()), (script, choices) => {
      const bytes = memoryFor(8192);
      let queue = open(bytes);
      let messages: FlowMessage[] = [];
      let number = 0;
      for (const [act, octets] of script) {
        if (act === 'put' && queue.hasRoom(octets)) {
          messages.push(queue.put(numberedFlows(++number, octets)));
        } else if (act === 'release' && messages.length > 0) {
          const [message] = messages.splice((choices.next().value ?? 0) % messages.length, 1);
          message?.memory?.release();
        } else if (act === 'reopen') {
          const known = numbers(messages);
          queue = open(bytes);
          t.same(numbers(queue.left), known);
          messages = [...queue.left];
        }
        for (const { bytes: message, packets } of messages) {
          const label = message.toString('latin1', 16, 24).replaceAll('\0', '');
          if (label !== `F${packets}`) return false;
        }
      }
      for (const message of messages) message.memory?.release();
      return queue.hasRoom(3000) && open(bytes).left.length === 0;
    }),
  );
});

t.test('when it is full there is no room, to the last entry', async (t) => {
  const bytes = memoryFor(4096);
  const queue = open(bytes);
  let last: FlowMessage | undefined;
  let count = 0;
  while (queue.hasRoom(56)) last = queue.put(numberedFlows(++count, 56));
  t.equal(count, 31, '32 places of 128 octets, of which one keeps the ends apart');
  t.throws(() => queue.put(numberedFlows(99, 56)), RangeError);
  last?.memory?.release();
  t.notOk(queue.hasRoom(56), 'places become free from the oldest on');
  queue.left[0]?.memory?.release();
  t.equal(found(bytes).length, 30);
});

/** Runs a script and looks after each store what another run would find. */
class KilledEverywhere {
  readonly memory: DurableMemory;
  readonly queue: MessageQueue;
  readonly #commit: BatchCommit;
  /** What may be found in this moment. */
  #allowed: string[];
  readonly #check: (isAllowed: boolean, what: string) => void;
  stores = 0;

  constructor(
    ringOctets: number,
    check: (isAllowed: boolean, what: string) => void,
    commit = NO_COMMIT,
  ) {
    this.#commit = commit;
    this.#check = check;
    this.#allowed = [''];
    this.memory = new DurableMemory(memoryFor(ringOctets), () => {
      this.look();
    });
    this.queue = new MessageQueue(this.memory, FINGERPRINT, commit);
  }

  look(): void {
    this.stores++;
    const now = String(found(this.memory.bytes, this.#commit));
    this.#check(this.#allowed.includes(now), `${now} and not ${this.#allowed.join(' or ')}`);
  }

  /** In the course of it the messages may be these or those of before; at the end these. */
  becomes<Result>(expected: readonly number[], act: () => Result): Result {
    this.#allowed = [this.#allowed.at(-1) ?? '', String(expected)];
    const result = act();
    this.#allowed = [String(expected)];
    this.look();
    return result;
  }
}

t.test('killed after any store, each message is there once', async (t) => {
  let wrong = '';
  const killed = new KilledEverywhere(2048, (isAllowed, what) => {
    if (!isAllowed) wrong ||= what;
  });
  const { queue } = killed;
  const waiting: FlowMessage[] = [];
  const now = (): number[] => numbers(waiting);
  for (let number = 1; number <= 60; number++) {
    const octets = 30 + ((number * 97) % 400);
    while (!queue.hasRoom(octets)) {
      // Now and then one that is not the oldest.
      const [message] = waiting.splice(waiting.length > 2 && number % 3 === 0 ? 1 : 0, 1);
      killed.becomes(now(), () => message?.memory?.release());
    }
    const message = numberedFlows(number, octets);
    waiting.push(killed.becomes([...now(), number], () => queue.put(message)));
  }
  t.equal(wrong, '');
  t.ok(killed.stores > 1000, `${killed.stores} stores`);
});

t.test('what sendmmsg() noted as sent is not sent again, and the rest is', async (t) => {
  let wrong = '';
  const killed = new KilledEverywhere(8192, (isAllowed, what) => {
    if (!isAllowed) wrong ||= what;
  });
  const { queue, memory } = killed;
  const messages: FlowMessage[] = [];
  for (const number of [1, 2, 3, 4]) {
    const all = [...numbers(messages), number];
    messages.push(killed.becomes(all, () => queue.put(numberedFlows(number, 300))));
  }
  const run = [controlMessage('T'), ...messages];
  killed.becomes([1, 2, 3, 4], () => {
    queue.beginRun(run, [10, 11, 12, 13, 14]);
  });
  const noteSent = (i: number): void => {
    queue.runHeaders.writeUInt32LE(300, i * MMSGHDR_OCTETS + MSG_LEN);
  };
  killed.becomes([1, 2, 3, 4], () => {
    noteSent(0);
  });
  t.equal(open(Buffer.from(memory.bytes)).sequence, 10, 'of templates as well');
  killed.becomes([2, 3, 4], () => {
    noteSent(1);
  });
  killed.becomes([3, 4], () => {
    noteSent(2);
  });
  t.equal(open(Buffer.from(memory.bytes)).sequence, 12);
  killed.becomes([3, 4], () => {
    for (const message of messages.slice(0, 2)) message.memory?.release();
    queue.endRun(12);
  });
  t.equal(open(Buffer.from(memory.bytes)).sequence, 12);
  killed.becomes([3, 4], () => {
    queue.beginRun(messages.slice(2), [13, 14]);
  });
  t.equal(wrong, '');
});

t.test('no message takes the place of one that may have to be marked as sent', async (t) => {
  const bytes = memoryFor(2048);
  const queue = open(bytes);
  const first = queue.put(numberedFlows(1, 900));
  queue.beginRun([first], [1]);
  queue.runHeaders.writeUInt32LE(900, MSG_LEN);
  first.memory?.release();
  t.notOk(queue.hasRoom(1100));
  queue.put(numberedFlows(2, 600));
  t.same(found(bytes), [2]);
  queue.endRun(1);
  t.same(found(bytes), [2]);
});

t.test('messages of a batch that does not count are dropped', async (t) => {
  const bytes = memoryFor(4096);
  const queue = open(bytes, { id: 5, batch: 1, committed: 0 });
  queue.put(numberedFlows(1));
  t.ok(queue.isHeldBack);
  t.same(found(bytes, { id: 5, batch: 0, committed: 0 }), []);
  t.same(found(bytes, { id: 5, batch: 1, committed: 1 }), [1]);
  t.same(
    found(bytes, { id: 6, batch: 0, committed: 0 }),
    [1],
    'another journal knows nothing of it',
  );
  const next = open(bytes, { id: 5, batch: 0, committed: 0 });
  next.put(numberedFlows(2));
  t.same(found(bytes, { id: 5, batch: 0, committed: 0 }), [2], 'and their place is free');
});

t.test('what waited for its reverse is of the last batch that counts', async (t) => {
  const bytes = memoryFor(4096);
  const commit = { id: 5, batch: 4, committed: 4 };
  const queue = open(bytes, commit);
  const sums = (records: number) => ({ records, packets: 10 * records, octets: 100 * records });
  queue.noteWaiting(sums(1), 4);
  queue.noteWaiting(sums(2), 5);
  t.same(open(Buffer.from(bytes), commit).leftWaiting, sums(1));
  const next = { ...commit, committed: 5 };
  t.same(open(bytes, next).leftWaiting, sums(2));
  t.same(open(bytes, next).leftWaiting, sums(0), 'and it is said once');
});

t.test('messages of other templates are not taken for their own', async (t) => {
  const bytes = memoryFor(4096);
  const queue = open(bytes);
  const message = queue.put(numberedFlows(1));
  const other = (): MessageQueue => new MessageQueue(new DurableMemory(bytes), OTHER_FINGERPRINT);
  t.throws(other, { code: 'other-templates' });
  t.same(found(bytes), [1], 'they are still there');
  message.memory?.release();
  t.same(other().left, [], 'an empty queue takes any');
});

t.test('whatever stands in the memory gives messages or is said to be damaged', async () => {
  const whole = memoryFor(4096);
  const queue = open(whole);
  for (const number of [1, 2, 3, 4, 5]) queue.put(numberedFlows(number, 500));
  queue.left[0]?.memory?.release();
  const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
  const header = fc.tuple(fc.nat(255), fc.nat(255));
  const entries = fc.tuple(
    fc.integer({ min: HEADER_OCTETS, max: HEADER_OCTETS + 127 }),
    fc.nat(255),
  );
  const changes = fc.array(fc.oneof(change, header, entries), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(changes, (list) => {
      const bytes = Buffer.from(whole);
      for (const [at, octet] of list) bytes[at] = octet;
      try {
        return open(bytes).left.length <= 5;
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? error.code : error;
        return code === 'damaged' || code === 'other-templates';
      }
    }),
    { numRuns: 2000 },
  );
});

t.test('a message on its way that stands nowhere in the queue is damage', async (t) => {
  const bytes = memoryFor(4096);
  const queue = open(bytes);
  queue.beginRun([queue.put(numberedFlows(1))], [1]);
  queue.runHeaders.writeUInt32LE(9, MSG_LEN);
  const places = [64, 4032, 0xffff_ff00];
  for (const place of places) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt32LE(place, 256 + 64); // of the first of the run, as the layout has it
    t.throws(() => open(damaged), { code: 'damaged', message: /on its way/ }, String(place));
  }
  t.same(found(bytes), [], 'what went is gone');
});

t.test('a changed octet of a message is noticed', async (t) => {
  const bytes = memoryFor(4096);
  const message = open(bytes).put(numberedFlows(1, 500));
  message.bytes.writeUInt32BE(77, 8); // its header is written when it leaves
  t.same(found(bytes), [1]);
  message.bytes[300] = 1;
  t.throws(() => open(bytes), { code: 'damaged', message: /wrong checksum at 8192/ });
});
