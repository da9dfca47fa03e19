// A collector for IPFIX on loopback that keeps what attribution is judged by.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { DecodedRecord } from '../../test/support/decoder/decoded-message.js';
import { text, unsigned } from '../../test/support/decoder/field-values.js';
import { MessageDecoder } from '../../test/support/decoder/message-decoder.js';
import type { Teardown } from '../../test/support/program.js';

const QUEUE_OCTETS = 8 << 20;
const PATIENCE_MS = 20_000;

/** Keys of the elements: "enterprise/element". */
const ELEMENT = {
  octets: '0/1',
  packets: '0/2',
  destinationPort: '0/11',
  source: { pid: '35632/168', name: '35632/169' },
  destination: { pid: '35632/375', name: '35632/376' },
} as const;

export interface CollectedProcess {
  readonly pid: number;
  readonly name: string;
}

export interface CollectedFlow {
  readonly packets: number;
  readonly octets: number;
  readonly destinationPort: number;
  readonly source: CollectedProcess;
  readonly destination: CollectedProcess;
}

export interface Collector {
  readonly port: number;
  /** @throws when not so many come: the collector lost them, or procflow did not send them */
  readonly flows: (records: number) => Promise<readonly CollectedFlow[]>;
}

export async function startCollector(t: Teardown): Promise<Collector> {
  const messages: Buffer[] = [];
  const socket = createSocket('udp4');
  t.teardown(() => {
    socket.close();
  });
  socket.on('message', (message) => messages.push(message));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.setRecvBufferSize(QUEUE_OCTETS);

  const decoder = new MessageDecoder({ isStrict: true });
  const flows: CollectedFlow[] = [];
  const decode = (): void => {
    for (const message of messages.splice(0)) {
      const records = decoder.decode(message).records.filter(({ isOptions }) => !isOptions);
      flows.push(...records.map(readFlow));
    }
  };
  return {
    port: socket.address().port,
    flows: async (records) => {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      decode();
      while (flows.length < records) {
        await once(socket, 'message', { signal }).catch(() => {
          throw new Error(`${flows.length} of ${records} records reached the collector`);
        });
        decode();
      }
      return flows;
    },
  };
}

function readFlow({ fields }: DecodedRecord): CollectedFlow {
  const number = (key: string): number => unsigned(fields.get(key));
  const process = (keys: { readonly pid: string; readonly name: string }): CollectedProcess => ({
    pid: number(keys.pid),
    name: text(fields.get(keys.name)),
  });
  return {
    packets: number(ELEMENT.packets),
    octets: number(ELEMENT.octets),
    destinationPort: number(ELEMENT.destinationPort),
    source: process(ELEMENT.source),
    destination: process(ELEMENT.destination),
  };
}
