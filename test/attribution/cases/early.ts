// Sockets that were open before procflow started belong to the processes that hold them.
import { startGenerator } from '../../support/generators.js';
import { counted, lastReport, ofPort, TCP, UDP, type Case, type Method } from '../case.js';
import { clientThere, serverThere, startHere } from '../peer.js';

/** Found by the walk at the start, until the process is seen using the socket. */
const METHODS: readonly Method[] = ['snapshot', 'socket'];

function client(kind: 'tcp' | 'udp', ...options: readonly string[]): Case {
  const connected = options.includes('--connected') ? 'connected ' : '';
  return {
    name: `a ${kind.toUpperCase()} client with a ${connected}socket from before the start`,
    isEarly: true,
    run: async (scene) => {
      const server = await serverThere(scene, `${kind}-server`, '--echo');
      const talk = kind === 'tcp' ? ['--octets', 5000] : options;
      const role = [...server.to, '--read-echo', '--wait', ...talk];
      const program = startHere(scene, `${kind}-client`, 'early', ...role);
      await program.report('ready');
      await scene.metering();
      program.write('\n');
      const who = await lastReport(program);
      const count = counted(who);
      return kind === 'tcp'
        ? [{ who, owns: ofPort(TCP, who.port), methods: METHODS }]
        : [{ who, owns: ofPort(UDP, who.port), methods: METHODS, sent: count, received: count }];
    },
  };
}

function server(kind: 'tcp' | 'udp'): Case {
  return {
    name: `a ${kind.toUpperCase()} server with a socket from before the start`,
    isEarly: true,
    run: async (scene) => {
      const program = startHere(scene, `${kind}-server`, 'early', '--echo', '--count', 2);
      const who = await program.report('ready');
      await scene.metering();
      const talk = kind === 'tcp' ? ['--octets', 5000] : [];
      for (let n = 0; n < 2; n++) {
        await clientThere(scene, `${kind}-client`, who.port, ...talk, '--read-echo');
      }
      await program.success();
      const owns = ofPort(kind === 'tcp' ? TCP : UDP, who.port);
      return [{ who, owns, methods: METHODS }];
    },
  };
}

export const EARLY_CASES: readonly Case[] = [
  client('tcp'),
  client('udp'),
  client('udp', '--connected'),
  server('tcp'),
  server('udp'),
  {
    name: 'the worker that accepted a TCP connection before the start',
    isEarly: true,
    run: async (scene) => {
      const role = ['--workers', 1, '--echo', '--wait'];
      const server = startHere(scene, 'tcp-server', 'early', ...role);
      const { port } = await server.report('ready');
      const to = [
        '--to',
        scene.hereAddress,
        '--port',
        Number(port),
        '--octets',
        5000,
        '--read-echo',
      ];
      const client = startGenerator(scene.t, scene.there, 'tcp-client', ...to, '--wait');
      await client.report('ready');
      const who = await server.report('accepted');
      await scene.metering();
      server.write('\n');
      client.write('\n');
      await client.success();
      await server.success();
      return [{ who, owns: ofPort(TCP, port), methods: METHODS }];
    },
  },
];
