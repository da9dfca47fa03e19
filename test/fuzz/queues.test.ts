// Hostile contents of a queue of messages that outlives the process: it is taken over and works, or it is an
// error that has it moved aside.
import t from 'tap';
import { ExportError } from '../../src/exporter/export-error.js';
import { DurableMemory } from '../../src/exporter/durable/durable-memory.js';
import { MessageQueue } from '../../src/exporter/durable/message-queue.js';
import type { FlowMessage } from '../../src/exporter/messages/outgoing-message.js';
import { numberedFlows } from '../support/scripted-transport.js';
import { fuzz } from './fuzz-rounds.js';
import { mutate, type MutateOptions } from './mutate.js';
import type { Random } from './random.js';

const QUEUES = 20;
const RING_OCTETS = 4096;
/** What comes before the messages, as the layout has it. */
const HEADER_OCTETS = 8192;
const FINGERPRINT = Buffer.alloc(32, 7);
const COMMIT = { id: 3, batch: 2, committed: 1 };
/** Where its ends and the messages on their way stand. */
const HEAD_OCTETS = 2048;

function open(bytes: Buffer): MessageQueue {
  return new MessageQueue(new DurableMemory(bytes), FINGERPRINT, COMMIT);
}

function put(queue: MessageQueue, random: Random): FlowMessage | undefined {
  const octets = random.between(24, 500);
  return queue.hasRoom(octets) ? queue.put(numberedFlows(random.below(9), octets)) : undefined;
}

/** As it may be when a process is killed. */
function used(random: Random): Buffer {
  const bytes = Buffer.alloc(HEADER_OCTETS + RING_OCTETS);
  const queue = open(bytes);
  const waiting: FlowMessage[] = [];
  for (let i = random.below(30); i > 0; i--) {
    const message = put(queue, random);
    if (message !== undefined) waiting.push(message);
    if (random.oneIn(2)) waiting.shift()?.memory?.release();
  }
  const run = waiting.slice(0, random.below(4));
  if (run.length > 0 && random.oneIn(2)) {
    queue.beginRun(
      run,
      run.map((_, i) => i + 1),
    );
    for (let i = random.below(run.length + 1); i > 0; i--)
      queue.runHeaders.writeUInt32LE(9, (i - 1) * 64 + 56);
  }
  return bytes;
}

function damage(bytes: Buffer, random: Random): void {
  const others = [Buffer.from(bytes)];
  // The size of a file is looked at before.
  const options: MutateOptions = {
    others,
    head: HEAD_OCTETS,
    least: bytes.length,
    most: bytes.length,
  };
  if (random.oneIn(2)) {
    mutate({ bytes, length: bytes.length }, random, options);
    return;
  }
  // Words as they are there: ends, lengths, states, and places of entries.
  for (let i = random.between(1, 4); i > 0; i--) {
    const at = 4 * random.below((random.oneIn(2) ? 1024 : bytes.length) / 4);
    const value = random.oneIn(4)
      ? random.word()
      : 64 * random.below(70) + (random.oneIn(4) ? random.below(64) : 0);
    bytes.writeUInt32LE(value, at);
  }
}

function use(queue: MessageQueue, random: Random): void {
  const waiting = [...queue.left];
  for (const { bytes } of waiting)
    if (bytes.length > RING_OCTETS) throw new Error('a long message');
  for (let i = 0; i < 40; i++) {
    const message = put(queue, random);
    if (message !== undefined) waiting.push(message);
    else waiting.shift()?.memory?.release();
  }
  for (const { memory } of waiting) memory?.release();
  // Then there is room for all that one can have.
  if (!queue.hasRoom(RING_OCTETS / 4)) throw new Error('an empty queue has no room');
}

function takeOver(random: Random): void {
  const bytes = used(random);
  damage(bytes, random);
  const before = Buffer.from(bytes);
  let queue: MessageQueue;
  try {
    queue = open(bytes);
  } catch (error) {
    if (error instanceof ExportError) return;
    throw new Error(before.toString('base64'), { cause: error });
  }
  try {
    use(queue, random);
  } catch (cause) {
    throw new Error(before.toString('base64'), { cause });
  }
}

t.test('any memory is a queue that works, or is refused', async (t) => {
  await fuzz(t, 'queues', {
    share: 0.02,
    cases: 'queues',
    round: (random) => {
      for (let i = 0; i < QUEUES; i++) takeOver(random);
      return QUEUES;
    },
  });
});
