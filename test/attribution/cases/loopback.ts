// Both processes are on this host: one record names both, and a packet is counted once.
import { lastReport, ofPort, TCP, UDP, type Case, type Scene } from '../case.js';
import { startHere } from '../peer.js';

function conversation(
  kind: 'tcp' | 'udp',
  name: string,
  addressOf: (scene: Scene) => string,
): Case {
  return {
    name: `${kind.toUpperCase()} ${name}`,
    run: async (scene) => {
      const address = addressOf(scene);
      const options = ['--echo', '--address', address];
      const server = startHere(scene, `${kind}-server`, 'server', ...options);
      const listener = await server.report('ready');
      const to = ['--to', address, '--port', Number(listener.port), '--read-echo'];
      const talk = kind === 'tcp' ? ['--octets', 20_000] : [];
      const client = await lastReport(startHere(scene, `${kind}-client`, 'client', ...to, ...talk));
      await server.success();
      const protocol = kind === 'tcp' ? TCP : UDP;
      return [
        { who: listener, owns: ofPort(protocol, listener.port) },
        { who: client, owns: ofPort(protocol, client.port) },
      ];
    },
  };
}

const OWN = 'to this host’s own address';
const LOOPBACK = 'to an address of the loopback interface';

export const LOOPBACK_CASES: readonly Case[] = (['tcp', 'udp'] as const).flatMap((kind) => [
  conversation(kind, LOOPBACK, ({ loopbackAddress }) => loopbackAddress),
  conversation(kind, OWN, ({ hereAddress }) => hereAddress),
]);
