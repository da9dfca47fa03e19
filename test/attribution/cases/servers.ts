// Servers: each connection belongs to the process that serves it, whoever opened the socket.
import { execFileSync } from 'node:child_process';
import { GENERATORS, nameProgram, startGenerator, type Place } from '../../support/generators.js';
import type { Report } from '../../support/program.js';
import { TCP, UDP, type Case, type Scene, type Truth } from '../case.js';
import { clientThere, startHere, type Arguments } from '../peer.js';

const CONNECTIONS = 100;
const FIRST_PORT = 20_000;

/** Who served which client says so in a "served" report each. */
function servedBy(protocol: number, port: unknown, reports: readonly Report[]): Truth[] {
  return reports
    .filter(({ event }) => event === 'served')
    .map((who) => ({
      who,
      owns: (end) =>
        end.protocol === protocol && end.port === port && end.peerPort === who.peer_port,
    }));
}

/** Several clients, some at a time. */
async function tcpClients(scene: Scene, port: unknown): Promise<void> {
  const options = ['--octets', 3000, '--read-echo', '--connections', CONNECTIONS / 4];
  const clients = [1, 2, 3, 4].map(() => clientThere(scene, 'tcp-client', port, ...options));
  await Promise.all(clients);
}

function tcpServer(name: string, ...options: Arguments): Case {
  return {
    name,
    run: async (scene) => {
      const role = ['--echo', '--count', CONNECTIONS, ...options];
      const server = startHere(scene, 'tcp-server', 'ts', ...role);
      const { port } = await server.report('ready');
      await tcpClients(scene, port);
      return servedBy(TCP, port, await server.success());
    },
  };
}

/** Clients that ask one after the other, so that each is one worker's. */
function udpWorkers(name: string, ...options: Arguments): Case {
  return {
    name,
    run: async (scene) => {
      const role = ['--echo', '--count', CONNECTIONS, '--workers', 4, ...options];
      const server = startHere(scene, 'udp-server', 'us', ...role);
      const { port } = await server.report('ready');
      // a port that two clients had one after the other would be one flow, of two workers
      const flows = ['--flows', CONNECTIONS, '--source-port', FIRST_PORT];
      await clientThere(scene, 'udp-client', port, ...flows, '--read-echo');
      return servedBy(UDP, port, await server.success());
    },
  };
}

/** The peer's kernel does not learn that a server on the metered host refuses. */
function dropResets({ namespace }: Place, port: unknown): () => void {
  const nft = ['netns', 'exec', namespace.name, 'nft'];
  const table = `resets-of-${String(port)}`.replaceAll('-', '_');
  const rule = `tcp sport ${String(port)} tcp flags & rst == rst drop`;
  const chain = `chain input { type filter hook input priority 0;\n${rule}\n}`;
  execFileSync('ip', [...nft, '-f', '-'], { input: `table inet ${table} {\n${chain}\n}\n` });
  return () => {
    execFileSync('ip', [...nft, 'delete', 'table', 'inet', table]);
  };
}

/** It closes with unread data; what comes afterwards finds the listener, and the kernel resets. */
function refused(who: string, ...options: Arguments): Case {
  return {
    name: `${who} that closed without reading all, resets included`,
    run: async (scene) => {
      // it goes on listening
      const role = ['--count', CONNECTIONS, '--close-unread', ...options];
      const server = startHere(scene, 'tcp-server', 'ts', ...role);
      const { port } = await server.report('ready');
      const passResets = dropResets(scene.there, port);
      try {
        const to = ['--to', scene.hereAddress, '--port', Number(port)];
        // Not a word between handshake and data: who accepts shows when it reads, and a record of
        // the handshake alone, exported before, would name the listener.
        const parts = ['--octets', 2000, '--parts', 2, '--wait-between'];
        const client = startGenerator(scene.t, scene.there, 'tcp-client', ...to, ...parts);
        await server.report('served');
        await client.report('ready');
        client.write('\n');
        await client.success();
      } finally {
        passResets();
      }
      const methods = ['socket', 'reverseFlow'] as const;
      await server.stop('SIGKILL');
      return servedBy(TCP, port, server.reports).map((truth) => ({ ...truth, methods }));
    },
  };
}

/** Several processes on a socket, each of many clients asks one of them, all at once. */
function crowd(clients: number): Case {
  return {
    name: `the worker that got the datagram of one of ${clients} clients of a shared UDP socket`,
    run: async (scene) => {
      const role = ['--count', clients, '--workers', 3];
      const server = startHere(scene, 'udp-server', 'us', ...role);
      const { port } = await server.report('ready');
      const flows = ['--flows', clients, '--source-port', FIRST_PORT];
      await clientThere(scene, 'udp-client', port, ...flows);
      const served = (await server.success()).filter(({ event }) => event === 'served');
      return [...new Set(served.map(({ pid }) => pid))].map((pid) => {
        const own = served.filter((report) => report.pid === pid);
        const ports = new Set(own.map(({ peer_port }) => peer_port));
        const [who] = own as [Report];
        return {
          who,
          owns: ({ protocol, peerPort }) => protocol === UDP && ports.has(peerPort),
        };
      });
    },
  };
}

function activated(kind: 'tcp' | 'udp'): Case {
  return {
    name: `a ${kind.toUpperCase()} server started by socket activation`,
    run: async (scene) => {
      const path = nameProgram(scene.t, `${GENERATORS}/${kind}-server`, scene.comm('service'));
      const service = [path, '--listening-fd', 3, '--echo'];
      const options = kind === 'udp' ? ['--udp'] : [];
      const role = [...options, '--', ...service];
      const activator = startHere(scene, 'socket-activator', 'activator', ...role);
      const { port } = await activator.report('ready');
      const talk = kind === 'tcp' ? ['--octets', 3000] : [];
      await clientThere(scene, `${kind}-client`, port, ...talk, '--read-echo');
      const who = (await activator.success()).at(-1);
      if (who === undefined) throw new Error('the service reported nothing');
      const protocol = kind === 'tcp' ? TCP : UDP;
      return [{ who, owns: (end) => end.protocol === protocol && end.port === port }];
    },
  };
}

export const SERVER_CASES: readonly Case[] = [
  tcpServer('a TCP server of one process'),
  tcpServer('a TCP server with a thread for each connection', '--threads'),
  tcpServer('the child that a TCP server forked for the connection', '--fork'),
  tcpServer('the worker that accepted the connection', '--workers', 4),
  tcpServer('the worker whose socket of SO_REUSEPORT got it', '--workers', 4, '--reuseport'),
  tcpServer('the worker that was handed the accepted connection', '--workers', 4, '--pass'),
  refused('the worker', '--workers', 2),
  refused('the child that a TCP server forked', '--fork'),
  activated('tcp'),
  activated('udp'),
  {
    name: 'a TCP server that becomes another program',
    run: async (scene) => {
      const successor = nameProgram(scene.t, `${GENERATORS}/tcp-server`, scene.comm('new-ts'));
      const options = ['--echo', '--', successor, '--echo'];
      const server = startHere(scene, 'tcp-server', 'old-ts', ...options);
      const { port } = await server.report('ready');
      for (const n of [1, 2]) {
        await server.report('ready', n);
        await clientThere(scene, 'tcp-client', port, '--octets', 3000, '--read-echo');
      }
      return servedBy(TCP, port, await server.success());
    },
  },
  {
    name: 'a UDP server that answers many clients from one socket',
    run: async (scene) => {
      const options = ['--echo', '--count', CONNECTIONS];
      const server = startHere(scene, 'udp-server', 'us', ...options);
      const who = await server.report('ready');
      await clientThere(scene, 'udp-client', who.port, '--flows', CONNECTIONS, '--read-echo');
      await server.success();
      return [{ who, owns: (end) => end.protocol === UDP && end.port === who.port }];
    },
  },
  udpWorkers('the worker whose UDP socket of SO_REUSEPORT got it', '--reuseport'),
  udpWorkers('the worker that answers on a UDP socket that all workers share'),
  crowd(3000),
];
