// A collector for IPFIX over TCP that can be killed at any time: after each piece of the stream it writes
// down what it has received so far.
// Usage: node build/test/soak/tcp-collector.js PORT FILE
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { unsigned } from '../support/decoder/field-values.js';
import { MessageDecoder } from '../support/decoder/message-decoder.js';
import { MessageSplitter } from '../support/decoder/message-splitter.js';
import { SequenceCheck } from '../support/decoder/sequence-check.js';
import { NOTHING_RECEIVED, type Received } from './received.js';

const ELEMENT = { octets: '0/1', packets: '0/2', ingress: '0/10', egress: '0/14' } as const;

const [, , port = '0', file = ''] = process.argv;
const received = structuredClone(NOTHING_RECEIVED) as Mutable<Received>;
let connections = 0;

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

function take(socket: Socket): void {
  const splitter = new MessageSplitter();
  const decoder = new MessageDecoder({ isStrict: true, isStream: true });
  const check = new SequenceCheck();
  const sender = String(++connections);
  socket.on('data', (chunk) => {
    for (const message of splitter.push(chunk)) {
      const decoded = decoder.decode(message);
      received.messages++;
      if (check.check(decoded, sender) !== undefined) received.sequenceErrors++;
      for (const { fields, isOptions } of decoded.records) {
        if (isOptions) continue;
        const index = unsigned(fields.get(ELEMENT.ingress)) || unsigned(fields.get(ELEMENT.egress));
        const sums = (received.interfaces[index] ??= { packets: 0, octets: 0 });
        received.records++;
        sums.packets += unsigned(fields.get(ELEMENT.packets));
        sums.octets += unsigned(fields.get(ELEMENT.octets));
      }
    }
    writeFileSync(file, JSON.stringify(received));
  });
  // The exporter that is killed breaks off wherever it is.
  socket.on('error', () => undefined);
}

const server = createServer(take);
server.listen(Number(port), '127.0.0.1', () => {
  writeFileSync(file, JSON.stringify(received));
  process.stdout.write(`listening on ${(server.address() as AddressInfo).port}\n`);
});
