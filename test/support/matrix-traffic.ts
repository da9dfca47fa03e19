// Real programs that talk by TCP, UDP and ICMP, over IPv4 and IPv6, through a wire and on loopback.
import { runGenerator, startGenerator, type Place } from './generators.js';
import type { NamespacePair } from './network-namespace.js';
import type { Teardown } from './program.js';

const CONNECTIONS = 4;
const UDP_FLOWS = 12;
const PINGS = 3;

export interface Conversation {
  readonly kind: 'tcp' | 'udp';
  readonly protocol: number;
  /** Where the client sent to. */
  readonly address: string;
  readonly port: number;
  /** Process ids, and the names of the programs. */
  readonly client: string;
  readonly server: string;
  readonly isLoopback: boolean;
}

/** Resolves when all have ended. */
export async function makeTraffic(
  t: Teardown,
  { a, b, pair }: { readonly a: Place; readonly b: Place; readonly pair: NamespacePair },
): Promise<readonly Conversation[]> {
  const conversations: Conversation[] = [];
  for (const [address, server] of [
    [pair.b.ipv4, b],
    [pair.b.ipv6, b],
    ['127.0.0.1', a],
    ['::1', a],
  ] as const) {
    conversations.push(await converse(t, 'tcp', [a, server], address));
    conversations.push(await converse(t, 'udp', [a, server], address));
    if (server === b) await runGenerator(t, a, 'icmp-echo', '--to', address, '--count', PINGS);
  }
  return conversations;
}

async function converse(
  t: Teardown,
  kind: 'tcp' | 'udp',
  [from, to]: readonly [Place, Place],
  address: string,
): Promise<Conversation> {
  const count = kind === 'tcp' ? CONNECTIONS : UDP_FLOWS;
  const any = address.includes(':') ? '::' : '0.0.0.0';
  const role = ['--echo', '--address', any, '--count', count];
  const server = startGenerator(t, to, [`${kind}-server`, `${kind}-answers`], ...role);
  const ready = await server.report('ready');
  const port = Number(ready.port);
  const amount = [kind === 'tcp' ? '--connections' : '--flows', count, '--read-echo'];
  const command = [`${kind}-client`, `${kind}-asks`] as const;
  const client = await runGenerator(t, from, command, '--to', address, '--port', port, ...amount);
  await server.success();
  return {
    ...{ kind, address, port, isLoopback: from === to },
    protocol: kind === 'tcp' ? 6 : 17,
    client: `${client.pid} ${client.comm}`,
    server: `${ready.pid} ${ready.comm}`,
  };
}
