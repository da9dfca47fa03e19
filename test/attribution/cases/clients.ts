// Clients: what a program opens, sends and receives by itself.
import { runGenerator, startGenerator } from '../../support/generators.js';
import type { Report } from '../../support/program.js';
import { counted, ofPort, TCP, UDP, type Case, type Scene } from '../case.js';

/** A server on the peer, and the arguments that lead to it. */
export async function serverThere(
  { t, there, thereAddress }: Scene,
  kind: 'tcp-server' | 'udp-server',
  ...options: readonly (string | number)[]
): Promise<readonly (string | number)[]> {
  const server = startGenerator(t, there, kind, ...options);
  const { port } = await server.report('ready');
  return ['--to', thereAddress, '--port', Number(port)];
}

function udpClient(name: string, ...options: readonly string[]): Case {
  return {
    name,
    run: async (scene) => {
      const readsEcho = options.includes('--read-echo');
      const to = await serverThere(scene, 'udp-server', ...(readsEcho ? ['--echo'] : []));
      const command = ['udp-client', scene.comm('uc')] as const;
      const who = await runGenerator(scene.t, scene.here, command, ...to, ...options);
      const none = { packets: 0, octets: 0 };
      const received = readsEcho ? counted(who) : none;
      return [{ who, owns: ofPort(UDP, who.port), sent: counted(who), received }];
    },
  };
}

function tcpClient(name: string, server: readonly string[], client: readonly string[]): Case {
  return {
    name,
    run: async (scene) => {
      const to = await serverThere(scene, 'tcp-server', ...server);
      const command = ['tcp-client', scene.comm('tc')] as const;
      const who: Report = await runGenerator(scene.t, scene.here, command, ...to, ...client);
      return [{ who, owns: ofPort(TCP, who.port) }];
    },
  };
}

export const CLIENT_CASES: readonly Case[] = [
  tcpClient('a TCP client that connects and exits at once', [], []),
  tcpClient('a TCP client that sends a lot', [], ['--octets', '3000000']),
  tcpClient(
    'a TCP client that sends and receives',
    ['--echo'],
    ['--octets', '300000', '--read-echo'],
  ),
  udpClient('a UDP client that sends one datagram and exits'),
  udpClient('an unconnected UDP client', '--read-echo'),
  udpClient('a connected UDP client', '--read-echo', '--connected'),
];
