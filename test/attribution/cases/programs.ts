// Programs that are not the tests' own: a shell, Python, Node, curl, trafgen. Who they are is read
// from /proc while they run.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GENERATORS, nameProgram } from '../../support/generators.js';
import { interfaceCounters } from '../../support/network-namespace.js';
import { PROJECT_ROOT } from '../../support/requirements.js';
import {
  counted,
  lastReport,
  ofPeerPort,
  ofPort,
  TCP,
  UDP,
  type Case,
  type Scene,
  type Truth,
} from '../case.js';
import { clientThere, serverThere } from '../peer.js';
import { identityOf, launch, type Launched } from '../process-identity.js';
import { NOTHING, peerMac, silentPort } from './frames.js';

const PYTHON_SCRIPTS = join(PROJECT_ROOT, 'test/generators');

/** Debian's: what PATH finds first may be a wrapper that is another process. */
function python(scene: Scene, script: string, ...args: readonly string[]): Launched {
  const path = nameProgram(scene.t, '/usr/bin/python3', scene.comm('python'));
  return launch(scene, path, join(PYTHON_SCRIPTS, script), ...args);
}

function node(scene: Scene, script: string, ...args: readonly string[]): Launched {
  const path = nameProgram(scene.t, process.execPath, scene.comm('node'));
  return launch(scene, path, join(GENERATORS, script), ...args);
}

/** Where the shell opens sockets: its word for an address is that of a path. */
function bash(scene: Scene, script: string): Launched {
  return launch(scene, nameProgram(scene.t, '/bin/bash', scene.comm('bash')), '-c', script);
}

function connectionsTo(scene: Scene, port: unknown, count: number): Promise<unknown> {
  const all = ['--octets', 5000, '--read-echo', '--connections', count];
  return clientThere(scene, 'tcp-client', port, ...all);
}

/** The children of a process that runs. */
function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return (
          /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1] === `${pid}`
        );
      } catch {
        return false; // it has ended meanwhile
      }
    })
    .map(Number);
}

function framesSent({ here, interfaceName }: Scene): number {
  return interfaceCounters({ name: here.namespace.name, interfaceName }).sentPackets;
}

/** What trafgen builds its frames from; the addresses are the case's. */
function trafgenConfiguration(scene: Scene, port: number): string {
  const { family, hereAddress, thereAddress } = scene;
  const ip = family === 'ipv4' ? 'ipv4' : 'ipv6';
  const addresses = `saddr=${hereAddress}, daddr=${thereAddress}`;
  const ethernet = `eth(da=${peerMac(scene)}, sa=02:00:00:00:00:23)`;
  return `{ ${ethernet}, ${ip}(${addresses}), udp(sp=10000, dp=${port}), fill(0x23, 18) }\n`;
}

export const PROGRAM_CASES: readonly Case[] = [
  {
    name: 'a shell that opens a UDP socket and sends a line',
    run: async (scene) => {
      const port = await silentPort(scene);
      const script = `echo hello >/dev/udp/${scene.thereAddress}/${port}`;
      const { program, who } = bash(scene, script);
      await program.success();
      const header = scene.family === 'ipv4' ? 28 : 48;
      const sent = { packets: 1, octets: header + 6 };
      return [{ who, owns: ofPeerPort(UDP, port), sent, received: NOTHING }];
    },
  },
  {
    name: 'a program that got a TCP socket from a shell that has used it',
    run: async (scene) => {
      const { port } = await serverThere(scene, 'tcp-server');
      const path = nameProgram(scene.t, `${GENERATORS}/tcp-client`, scene.comm('client'));
      const open = `exec 3<>/dev/tcp/${scene.thereAddress}/${port}; echo hello >&3`;
      const { program } = bash(scene, `${open}; exec ${path} --fd 3 --octets 10`);
      const who = await lastReport(program);
      return [{ who, owns: ofPort(TCP, who.port) }];
    },
  },
  {
    name: 'a Python server on asyncio',
    run: async (scene) => {
      const { program, who } = python(scene, 'echo-server.py', scene.hereAddress);
      const { tcp, udp } = await program.report('ready');
      await connectionsTo(scene, tcp, 3);
      const all = ['--count', 5, '--read-echo'];
      const count = counted(await clientThere(scene, 'udp-client', udp, ...all));
      return [
        { who, owns: ofPort(TCP, tcp) },
        { who, owns: ofPort(UDP, udp), sent: count, received: count },
      ];
    },
  },
  {
    name: 'a Python client on asyncio',
    run: async (scene) => {
      const { port } = await serverThere(scene, 'tcp-server', '--echo');
      const { program, who } = python(scene, 'echo-client.py', scene.thereAddress, String(port));
      return [{ who, owns: ofPort(TCP, (await lastReport(program)).port) }];
    },
  },
  {
    name: 'a Node program whose worker threads connect',
    run: async (scene) => {
      const { port } = await serverThere(scene, 'tcp-server', '--echo', '--count', 3);
      const { program, who } = node(scene, 'node-threads.js', scene.thereAddress, String(port));
      const reports = await program.success();
      return reports.map((report) => ({ who, owns: ofPort(TCP, report.port) }));
    },
  },
  {
    name: 'the workers of a Node cluster: each has the connections that it was given',
    run: async (scene) => {
      const { program } = node(scene, 'node-cluster.js', scene.hereAddress);
      const { port } = await program.report('ready');
      await connectionsTo(scene, port, 4);
      await program.report('serving', 4);
      const truths: Truth[] = [];
      for (const { event, pid, peer_port } of program.reports) {
        if (event !== 'serving') continue;
        truths.push({ who: identityOf(pid), owns: ofPeerPort(TCP, peer_port) });
      }
      return truths;
    },
  },
  {
    name: 'curl',
    run: async (scene) => {
      const { thereAddress, family, comm, there } = scene;
      const web = ['-u', '-m', 'http.server', '--bind', thereAddress, '--directory', '/dev', '0'];
      const server = launch({ ...scene, here: there }, '/usr/bin/python3', ...web);
      const line = await server.program.line('out', /port \d+/);
      const port = Number(/port (\d+)/.exec(line)?.[1]);
      const host = family === 'ipv4' ? thereAddress : `[${thereAddress}]`;
      const path = nameProgram(scene.t, '/usr/bin/curl', comm('curl'));
      const url = `http://${host}:${port}/`;
      const { program, who } = launch(scene, path, '-sf', '-o', '/dev/null', url);
      await program.success();
      return [{ who, owns: ofPeerPort(TCP, port) }];
    },
  },
  {
    name: 'trafgen, which sends from a child',
    atSockets: 'not seen',
    run: async (scene) => {
      const port = await silentPort(scene);
      const file = join(tmpdir(), `procflow-trafgen-${process.pid}-${port}`);
      writeFileSync(file, trafgenConfiguration(scene, port));
      scene.t.teardown(() => rmSync(file));
      const path = nameProgram(scene.t, '/usr/sbin/trafgen', scene.comm('trafgen'));
      // Without --qdisc-path it bypasses the queueing discipline, and TC with it.
      const how = ['--qdisc-path', '--cpus', '1', '--gap', '1ms'];
      const wire = ['--in', file, '--out', scene.interfaceName];
      const before = framesSent(scene);
      const { program } = launch(scene, path, ...how, ...wire);
      while (framesSent(scene) < before + 5) await delay(5);
      const [child = 0] = childrenOf(program.pid);
      const who = identityOf(child);
      process.kill(child, 'SIGINT'); // its parent heeds none, and ends with it
      await program.success();
      return [{ who, owns: ofPeerPort(UDP, port), received: NOTHING }];
    },
  },
];
