// The journal of an export: what a run finds that begins where another was killed. Each flow record is to be
// sent once, whichever store was the last.
import t from 'tap';
import { FLOW_RECORD } from '../../../src/flow/flow-contract.gen.js';
import { DurableMemory } from '../../../src/exporter/durable/durable-memory.js';
import { Journal, journalOctets } from '../../../src/exporter/durable/journal.js';
import type { MessageQueue } from '../../../src/exporter/durable/message-queue.js';
import type { FlowMessage } from '../../../src/exporter/messages/outgoing-message.js';
import { numberedFlows } from '../../support/scripted-transport.js';

const NAMES = ['udp://192.0.2.1:9995', 'udp://192.0.2.2:9995'] as const;
const QUEUES = NAMES.map((name) => ({ name, octets: 0 }));
const FINGERPRINT = Buffer.alloc(32, 7);
const { packets: PACKETS, ip_version: IP_VERSION } = FLOW_RECORD.fields;
const MMSGHDR_OCTETS = 64;
const MSG_LEN = 56;

function newMemory(): Buffer {
  return Buffer.alloc(journalOctets(QUEUES));
}

/** What the kernel writes; the number stands in the packets. */
function writeRecords(numbers: readonly number[], out: Buffer): number {
  for (const [i, number] of numbers.entries()) {
    const at = i * FLOW_RECORD.size;
    out.fill(0, at, at + FLOW_RECORD.size);
    out[at + IP_VERSION.offset] = 4;
    out.writeBigUInt64LE(BigInt(number), at + PACKETS.offset);
  }
  return numbers.length * FLOW_RECORD.size;
}

function recordNumbers(bytes: Buffer): number[] {
  const count = bytes.length / FLOW_RECORD.size;
  return Array.from({ length: count }, (_, i) =>
    Number(bytes.readBigUInt64LE(i * FLOW_RECORD.size + PACKETS.offset)),
  );
}

/** A process that exports to two collectors, one message a record, and what is outside of it. */
class Exporter {
  /** Flows in the kernel's cache. */
  kernel: number[];
  /** What each collector has. */
  readonly sent: number[][] = NAMES.map(() => []);
  readonly memory: DurableMemory;
  readonly journal: Journal;
  readonly queues: readonly MessageQueue[];
  readonly waiting: FlowMessage[][];
  #sequence = 0;

  constructor(bytes: Buffer, kernel: readonly number[], onStore?: () => void) {
    this.kernel = [...kernel];
    this.memory = new DurableMemory(bytes, onStore);
    const found = Journal.find(this.memory);
    this.journal = found ?? Journal.create(this.memory, QUEUES);
    this.queues = NAMES.map((name) => this.journal.openQueue(name, FINGERPRINT));
    this.waiting = this.queues.map(({ left }) => [...left]);
  }

  takeLeft(): void {
    const { leftOctets } = this.journal;
    if (leftOctets > 0) this.#encode(leftOctets);
  }

  /** @param killed is asked after the system call, which takes from the one and gives to the other */
  takeBatch(count: number, killed = (): void => undefined): void {
    this.journal.begin();
    const numbers = this.kernel.splice(0, count);
    const octets = writeRecords(numbers, this.journal.bytes);
    killed();
    this.#encode(octets);
  }

  #encode(octets: number): void {
    const numbers = recordNumbers(this.journal.hand(octets));
    const put = this.queues.map((queue) => numbers.map((n) => queue.put(numberedFlows(n))));
    this.journal.commit();
    for (const [i, messages] of put.entries()) this.waiting[i]?.push(...messages);
  }

  /** The kernel notes what it sends, one datagram after the other. */
  sendRun(collector: number, most: number, killed = (): void => undefined): void {
    const queue = this.queues[collector];
    const run = (this.waiting[collector] ?? []).splice(0, most);
    if (queue === undefined) return;
    queue.beginRun(
      run,
      run.map((_, i) => this.#sequence + i + 1),
    );
    for (const [i, { packets }] of run.entries()) {
      this.sent[collector]?.push(packets);
      queue.runHeaders.writeUInt32LE(100, i * MMSGHDR_OCTETS + MSG_LEN);
      killed();
    }
    this.#sequence += run.length;
    for (const { memory } of run) memory?.release();
    queue.endRun(this.#sequence);
  }

  /** What each collector has when nothing is left to send. */
  finish(): number[][] {
    this.takeLeft();
    this.takeBatch(this.kernel.length);
    for (const [i, messages] of this.waiting.entries()) {
      while (messages.length > 0) this.sendRun(i, 60);
    }
    return this.sent;
  }
}

t.test('killed after any store, each record reaches each collector once', async (t) => {
  const all = Array.from({ length: 30 }, (_, i) => i + 1);
  let stores = 0;
  let wrong = '';
  const killed = (): void => {
    stores++;
    const next = new Exporter(Buffer.from(exporter.memory.bytes), exporter.kernel);
    const rest = next.finish();
    for (const [i, sent] of exporter.sent.entries()) {
      const received = [...sent, ...(rest[i] ?? [])].sort((a, b) => a - b);
      if (String(received) !== String(all)) wrong ||= `after ${stores} stores: ${received.join()}`;
    }
  };
  let exporter = new Exporter(newMemory(), all);
  exporter = new Exporter(exporter.memory.bytes, all, killed);
  exporter.takeBatch(4, killed);
  exporter.sendRun(0, 3, killed);
  exporter.takeBatch(3, killed);
  exporter.sendRun(1, 7, killed);
  exporter.sendRun(0, 2, killed);
  exporter.takeBatch(2, killed);
  exporter.sendRun(0, 9, killed);
  t.equal(wrong, '');
  t.ok(stores > 300, `${stores} stores`);
});

t.test('killed while it takes over what another has left', async (t) => {
  const all = [1, 2, 3, 4, 5, 6];
  const first = new Exporter(newMemory(), all);
  first.takeBatch(3);
  first.journal.begin();
  writeRecords(first.kernel.splice(0, 2), first.journal.bytes);
  const { kernel } = first;
  let wrong = '';
  const seconds: Exporter[] = [];
  const killed = (): void => {
    const left = seconds[0] ?? { memory: first.memory, kernel, sent: [[], []] };
    const next = new Exporter(Buffer.from(bytes), left.kernel).finish();
    for (const [i, sent] of left.sent.entries()) {
      const received = [...sent, ...(next[i] ?? [])].sort((a, b) => a - b);
      if (String(received) !== String(all)) wrong ||= received.join();
    }
  };
  const bytes = Buffer.from(first.memory.bytes);
  const second = new Exporter(bytes, kernel, killed);
  seconds.push(second);
  t.same(
    second.finish().map((sent) => sent.sort((a, b) => a - b)),
    [all, all],
  );
  t.equal(wrong, '');
});

t.test('what is read but not handed over is left; what is committed is not', async (t) => {
  const bytes = newMemory();
  const { journal } = new Exporter(bytes, []);
  t.equal(journal.leftOctets, 0);
  const find = (): Journal | undefined => Journal.find(new DurableMemory(bytes));
  journal.begin();
  t.equal(find()?.leftOctets, 0, 'nothing was read yet');
  writeRecords([7, 8], journal.bytes);
  t.same(recordNumbers(find()?.hand(find()?.leftOctets ?? 0) ?? Buffer.alloc(0)), [7, 8]);
  journal.hand(2 * FLOW_RECORD.size);
  t.equal(find()?.leftOctets, 2 * FLOW_RECORD.size);
  journal.commit();
  t.equal(find()?.leftOctets, 0);
});

t.test('with other collectors all is taken over that has a place', async (t) => {
  const first = new Exporter(newMemory(), [1, 2, 3, 4, 5]);
  first.takeBatch(3);
  first.sendRun(0, 1);
  first.journal.begin();
  writeRecords([4, 5], first.journal.bytes);
  const others = [
    { name: NAMES[0], octets: 2 ** 24 },
    { name: 'udp://192.0.2.3:9995', octets: 0 },
  ];
  const bytes = Buffer.alloc(journalOctets(others));
  const journal = Journal.create(new DurableMemory(bytes), others);
  const left = Journal.find(first.memory);
  if (left === undefined) throw new Error('unreachable');
  t.notOk(left.isFor(others));
  t.ok(journal.isFor(others));
  t.same(journal.takeOver(left), { records: 3, packets: 6, octets: 300 });
  t.equal(journal.id, left.id);
  t.same(recordNumbers(journal.hand(journal.leftOctets)), [4, 5]);
  const queue = journal.openQueue(NAMES[0], FINGERPRINT);
  t.same(
    queue.left.map(({ packets }) => packets),
    [2, 3],
  );
  t.equal(queue.sequence, 1);
  t.same(journal.clear(NAMES[0]), { records: 2, packets: 5, octets: 200 });
  t.same(journal.openQueue(NAMES[0], FINGERPRINT).left, []);
});

t.test('what is no journal is not taken for one', async (t) => {
  t.equal(Journal.find(new DurableMemory(Buffer.alloc(4096))), undefined);
  t.equal(Journal.find(new DurableMemory(newMemory())), undefined);
  const { memory } = new Exporter(newMemory(), []);
  const cut = memory.bytes.subarray(0, 2 ** 20);
  t.equal(Journal.find(new DurableMemory(cut)), undefined);
});
