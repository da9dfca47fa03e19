// node-netflowv9 as a decoder of messages that are at hand; it has no types of its own.
import { createRequire } from 'node:module';

export interface Netflow9Message {
  readonly header: Readonly<Record<string, number>>;
  readonly flows: readonly Readonly<Record<string, unknown>>[];
}

interface Collector {
  nfPktDecode(message: Buffer, sender: { address: string; port: number }): Netflow9Message;
  readonly nfTypes: Record<number, { name: string; compileRule: Record<number, string> }>;
  readonly server: { close(): void };
}

const load = createRequire(import.meta.url);

/** Field types that the decoder does not know, or not with our lengths: as hexadecimal text. */
const RAW_TYPES = [40000, 57640, 57641, 57844, 57847, 57848, 57849, 57897, 57898] as const;
const RAW = { 0: "o['$name']=buf.toString('hex',$pos,$pos+$len);" };

/** Decodes messages in order, with the templates among them. */
export function decodeNetflow9(messages: readonly Buffer[]): Netflow9Message[] {
  const NetFlowV9 = load('node-netflowv9') as new (options: object) => Collector;
  const collector = new NetFlowV9({});
  collector.server.close();
  for (const type of RAW_TYPES) {
    collector.nfTypes[type] = { name: `type_${type}`, compileRule: RAW };
  }
  return messages.map((message) =>
    collector.nfPktDecode(message, { address: '127.0.0.1', port: 9995 }),
  );
}
