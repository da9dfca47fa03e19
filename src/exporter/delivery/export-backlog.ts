// Messages that wait to be sent, and those that were sent but may not have arrived. Bounded in
// octets: a collector that does not keep up costs so much memory and no more. The memory is the process's
// own, or a queue that outlives it.
import type { MessageQueue } from '../durable/message-queue.js';
import type { FlowMessage, OutgoingMessage } from '../messages/outgoing-message.js';
import { isFlowMessage } from '../messages/outgoing-message.js';

export class ExportBacklog {
  readonly queue: MessageQueue | undefined;
  readonly #limitOctets: number;
  #waiting: FlowMessage[] = [];
  /** Of #waiting; the messages before it are gone. */
  #head = 0;
  /** In the order of sending. Templates and options too, because arrivals are counted in messages. */
  #inFlight: OutgoingMessage[] = [];
  #octets = 0;
  /** Of a batch that is not encoded for all collectors: not to be sent yet. */
  #heldBack: FlowMessage[] = [];

  /** @param queue where the messages are kept; with it the limit is its own */
  constructor(limitOctets: number, queue?: MessageQueue) {
    this.#limitOctets = limitOctets;
    this.queue = queue;
    for (const message of queue?.left ?? []) this.#add(this.#waiting, message);
  }

  /** Of all messages with flow records in it. */
  get octets(): number {
    return this.#octets;
  }
  get isEmpty(): boolean {
    return this.#octets === 0;
  }

  /** A message that is longer than the limit has room when nothing else is there. */
  hasRoom(message: FlowMessage): boolean {
    if (this.queue !== undefined) return this.queue.hasRoom(message.bytes.length);
    return this.isEmpty || this.#octets + message.bytes.length <= this.#limitOctets;
  }

  put(message: FlowMessage): void {
    const { queue } = this;
    if (queue === undefined) this.#add(this.#waiting, message);
    else this.#add(queue.isHeldBack ? this.#heldBack : this.#waiting, queue.put(message));
  }

  /** The batch is encoded for all collectors. */
  letGo(): void {
    this.#waiting.push(...this.#heldBack);
    this.#heldBack = [];
  }

  /** The next one to be sent; it stays. */
  peek(): FlowMessage | undefined {
    return this.#waiting[this.#head];
  }

  /** As many of the next ones, if there are; they stay. */
  peekRun(most: number): readonly FlowMessage[] {
    return this.#waiting.slice(this.#head, this.#head + most);
  }

  /** The next one will not be sent. */
  drop(): void {
    const message = this.#take();
    if (message !== undefined) this.#leave(message);
  }

  /** The next one was sent. */
  sent(): void {
    const message = this.#take();
    if (message !== undefined) this.#inFlight.push(message);
  }

  /** So was a message that no backlog has. */
  controlSent(message: OutgoingMessage): void {
    this.#inFlight.push(message);
  }

  /** The first `count` of those that were sent have arrived. */
  arrived(count: number): readonly OutgoingMessage[] {
    const messages = this.#inFlight.splice(0, count);
    for (const message of messages) {
      if (isFlowMessage(message)) this.#leave(message);
    }
    return messages;
  }

  /** The session is over: what has not arrived waits again, in its order; templates do not. */
  rewind(): void {
    const again = this.#inFlight.filter(isFlowMessage);
    this.#inFlight = [];
    this.#waiting = [...again, ...this.#waiting.slice(this.#head)];
    this.#head = 0;
  }

  /** Everything that has not arrived leaves; a queue keeps it for the next run. */
  clear(): readonly FlowMessage[] {
    this.letGo();
    this.rewind();
    const left = this.#waiting;
    this.#waiting = [];
    this.#octets = 0;
    return left;
  }

  #add(messages: FlowMessage[], message: FlowMessage): void {
    messages.push(message);
    this.#octets += message.bytes.length;
  }

  #leave(message: FlowMessage): void {
    this.#octets -= message.bytes.length;
    message.memory?.release();
  }

  #take(): FlowMessage | undefined {
    const message = this.#waiting[this.#head];
    if (message === undefined) return undefined;
    this.#head++;
    // Not at once: it would move all that wait for each that goes.
    if (this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }
}
