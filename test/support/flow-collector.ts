// A UDP collector that keeps what it gets, and reads the packets and octets of flows.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { unsigned } from './decoder/field-values.js';
import { decodeExport } from './exported-messages.js';
import type { Teardown } from './program.js';

const OCTETS = '0/1';
const PACKETS = '0/2';

export class FlowCollector {
  readonly messages: Buffer[] = [];
  readonly socket = createSocket({ type: 'udp4', recvBufferSize: 2 ** 21 });

  static async listen(t: Teardown): Promise<FlowCollector> {
    const collector = new FlowCollector();
    const { socket, messages } = collector;
    socket.on('message', (message) => messages.push(message));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    t.teardown(() => void socket.close());
    return collector;
  }

  get port(): string {
    return String(this.socket.address().port);
  }

  /** Resolves when another message comes. */
  async next(): Promise<void> {
    await once(this.socket, 'message');
  }

  /** Resolves when it is so; not asked for each message, because all of them are read again. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await this.next();
      await delay(100);
    }
  }

  /** Of each flow record. */
  packets(): number[] {
    return this.#values(PACKETS);
  }
  octets(): number[] {
    return this.#values(OCTETS);
  }

  #values(element: string): number[] {
    const records = decodeExport(this.messages).flatMap((message) => message.records);
    const flows = records.filter(({ isOptions }) => !isOptions);
    return flows.map(({ fields }) => unsigned(fields.get(element)));
  }
}
