// node-netflowv9 as a decoder of messages that are at hand; it has no types of its own.
import { createRequire } from 'node:module';

export interface Netflow9Message {
  readonly header: {
    readonly count: number;
    readonly uptime: number;
    readonly seconds: number;
    readonly sequence: number;
    readonly sourceId: number;
  };
  readonly flows: readonly Readonly<Record<string, unknown>>[];
}

interface FieldType {
  readonly name: string;
  readonly compileRule: Readonly<Record<number, string>>;
}

interface Collector {
  nfPktDecode(message: Buffer, sender: { address: string; port: number }): Netflow9Message;
  nfTypes: Record<number, FieldType>;
  readonly server: { close(): void };
}

const load = createRequire(import.meta.url);

/** Field types that the decoder does not know: it is to give them as hexadecimal text. */
const UNKNOWN_TYPES = [40000, 57640, 57641, 57844, 57847, 57848, 57849, 57897, 57898] as const;
const RAW = { 0: "o['$name']=buf.toString('hex',$pos,$pos+$len);" };

/** Decodes messages in order, with the templates among them. */
export function decodeNetflow9(messages: readonly Buffer[]): Netflow9Message[] {
  return decode(messages, (known) => {
    const types = { ...known };
    for (const type of UNKNOWN_TYPES) types[type] = { name: `type_${type}`, compileRule: RAW };
    return types;
  });
}

/** The same, with every field as hexadecimal text under the name "unknown_type_<type>". */
export function decodeRawNetflow9(messages: readonly Buffer[]): Netflow9Message[] {
  return decode(messages, () => ({}));
}

function decode(
  messages: readonly Buffer[],
  types: (known: Collector['nfTypes']) => Collector['nfTypes'],
): Netflow9Message[] {
  const NetFlowV9 = load('node-netflowv9') as new (options: object) => Collector;
  const collector = new NetFlowV9({});
  collector.server.close();
  collector.nfTypes = types(collector.nfTypes);
  return messages.map((message) =>
    collector.nfPktDecode(message, { address: '127.0.0.1', port: 9995 }),
  );
}
