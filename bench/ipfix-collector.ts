// A collector for IPFIX on loopback that keeps what attribution is judged by.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { IpfixDecoder, type IpfixRecord } from '../test/support/ipfix-decoder.js';
import type { Teardown } from '../test/support/program.js';

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

  const decoder = new IpfixDecoder();
  const flows: CollectedFlow[] = [];
  const decode = (): void => {
    for (const message of messages.splice(0)) {
      flows.push(...decoder.decode(message).records.map(readFlow));
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

function readFlow({ fields }: IpfixRecord): CollectedFlow {
  const number = (key: string): number => {
    const bytes = fields.get(key) ?? Buffer.alloc(1);
    return bytes.length > 6 ? Number(bytes.readBigUInt64BE()) : bytes.readUIntBE(0, bytes.length);
  };
  const process = (keys: { readonly pid: string; readonly name: string }): CollectedProcess => ({
    pid: number(keys.pid),
    name: fields.get(keys.name)?.toString().replace(/\0+$/, '') ?? '',
  });
  return {
    packets: number(ELEMENT.packets),
    octets: number(ELEMENT.octets),
    destinationPort: number(ELEMENT.destinationPort),
    source: process(ELEMENT.source),
    destination: process(ELEMENT.destination),
  };
}
