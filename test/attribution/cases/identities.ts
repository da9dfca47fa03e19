// Which process it is, where process id, name, threads, users or namespaces could mislead.
import { GENERATORS, nameProgram, runGenerator, startGenerator } from '../../support/generators.js';
import { createCgroup } from '../../support/test-cgroup.js';
import type { Report } from '../../support/program.js';
import { counted, ofPort, TCP, UDP, type Case, type Scene, type Truth } from '../case.js';
import { serverThere } from '../peer.js';

const NOBODY_UID = 65534;
const NOTHING = { packets: 0, octets: 0 };

function datagrams(who: Report): Truth {
  return { who, owns: ofPort(UDP, who.port), sent: counted(who), received: NOTHING };
}

/** One datagram from a program under this name: its path and arguments. */
async function oneDatagram(scene: Scene, role: string): Promise<readonly string[]> {
  const { to } = await serverThere(scene, 'udp-server');
  const path = nameProgram(scene.t, `${GENERATORS}/udp-client`, scene.comm(role));
  return [path, ...to.map(String)];
}

/** What tells them apart is the start time, and the name if it differs. */
async function samePid(scene: Scene, ...roles: [string, string]): Promise<readonly Truth[]> {
  const [first, second] = roles;
  const both = [...(await oneDatagram(scene, first)), '--', ...(await oneDatagram(scene, second))];
  const reports = await startGenerator(scene.t, scene.here, 'same-pid', ...both).success();
  const [a, b] = reports;
  if (a === undefined || a.pid !== b?.pid) throw new Error('not the same process id');
  if (b.start_ms - a.start_ms < 50) throw new Error('not apart in time');
  return reports.map(datagrams);
}

function threads(name: string, ...options: readonly string[]): Case {
  return {
    name,
    run: async (scene) => {
      const { t, here, comm } = scene;
      const truths: Truth[] = [];
      for (const [protocol, server, kind] of [
        [UDP, 'udp-server', ['--udp']],
        [TCP, 'tcp-server', []],
      ] as const) {
        const { to } = await serverThere(scene, server, '--count', 4);
        const command = ['threads', comm('leader')] as const;
        const all = ['--threads', '4', ...kind, ...options];
        const reports = await startGenerator(t, here, command, ...to, ...all).success();
        for (const who of reports) truths.push({ who, owns: ofPort(protocol, who.port) });
      }
      return truths;
    },
  };
}

/** Opened and connected by root, used by somebody else. */
async function changeUser(scene: Scene, transport: 'tcp' | 'udp', count: number): Promise<Truth> {
  const { to } = await serverThere(scene, `${transport}-server`);
  const kind = transport === 'udp' ? ['--udp'] : [];
  const all = [...to, ...kind, '--how', 'write', '--count', count, '--uid', NOBODY_UID];
  const command = ['io-sender', scene.comm(transport)] as const;
  const who = await runGenerator(scene.t, scene.here, command, ...all);
  return { who, owns: ofPort(transport === 'udp' ? UDP : TCP, who.port) };
}

export const IDENTITY_CASES: readonly Case[] = [
  {
    name: 'a process that becomes another user before it sends',
    run: async (scene) => [
      await changeUser(scene, 'udp', 1),
      await changeUser(scene, 'udp', 2),
      await changeUser(scene, 'tcp', 2),
    ],
  },
  {
    name: 'two programs one after the other under the same process id',
    run: async (scene) => samePid(scene, 'first', 'second'),
  },
  {
    name: 'a program that runs twice under the same process id',
    run: async (scene) => samePid(scene, 'twice', 'twice'),
  },
  {
    name: 'a process that renames itself between two sockets',
    run: async (scene) => {
      const { to } = await serverThere(scene, 'udp-server', '--count', 2);
      const command = ['renaming-sender', scene.comm('old')] as const;
      const options = [...to, '--new-name', scene.comm('new')];
      return (await startGenerator(scene.t, scene.here, command, ...options).success()).map(
        datagrams,
      );
    },
  },
  threads('threads with names of their own: the name is the process’s'),
  threads('threads that go on when the main thread has exited', '--leader-exits'),
  {
    name: 'a thread other than the main one that becomes another program',
    run: async (scene) => {
      const program = await oneDatagram(scene, 'new');
      const options = ['--exec-in-thread', '--', ...program];
      const command = ['threads', scene.comm('old')] as const;
      return [datagrams(await runGenerator(scene.t, scene.here, command, ...options))];
    },
  },
  {
    name: 'a program started by vfork that has inherited its socket',
    run: async (scene) => {
      const { to } = await serverThere(scene, 'udp-server');
      const path = nameProgram(scene.t, `${GENERATORS}/udp-client`, scene.comm('child'));
      const child = [path, ...to, '--connected'];
      const command = ['exec-after-open', scene.comm('parent')] as const;
      const options = [...to, '--udp', '--vfork', '--', ...child];
      return [datagrams(await runGenerator(scene.t, scene.here, command, ...options))];
    },
  },
  {
    name: 'a process in a container, by its process id outside',
    run: async (scene) => {
      const truths: Truth[] = [];
      const inside = await oneDatagram(scene, 'inside');
      const container = { ...scene.here, cgroup: createCgroup(scene.t, scene.here.cgroup) };
      const who = await runGenerator(scene.t, container, 'new-pid-namespace', ...inside);
      truths.push(datagrams(who));
      const server = [`${GENERATORS}/tcp-server`, '--count', '1', '--echo'];
      const program = startGenerator(scene.t, container, 'new-pid-namespace', ...server);
      const ready = await program.report('ready');
      const to = ['--to', scene.hereAddress, '--port', Number(ready.port), '--octets', 5000];
      await runGenerator(scene.t, scene.there, 'tcp-client', ...to, '--read-echo');
      truths.push({ who: ready, owns: ofPort(TCP, ready.port) });
      return truths;
    },
  },
];
