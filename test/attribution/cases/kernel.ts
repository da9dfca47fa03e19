// What the kernel sends and receives by itself, and what belongs to a process although its packets
// have no socket: echo replies, ICMP errors, late packets of a connection that is over.
import { execFileSync } from 'node:child_process';
import { startGenerator } from '../../support/generators.js';
import {
  counted,
  lastReport,
  ofPeerPort,
  ofPort,
  TCP,
  UDP,
  type Case,
  type Family,
  type FlowEnd,
  type Scene,
  type Truth,
} from '../case.js';
import { clientThere, serverThere, startHere } from '../peer.js';

const CLOSED_PORT = 9;
const SOURCE_PORT = 20_000;

/** ICMP types, by family. */
const ECHO_REQUEST: Record<Family, number> = { ipv4: 8, ipv6: 128 };
const ECHO_REPLY: Record<Family, number> = { ipv4: 0, ipv6: 129 };
/** The first two octets of a reply of ICMPv6, where UDP has its port. */
const REPLY_AS_PORT = 129 << 8;
const UNREACHABLE: Record<Family, number> = { ipv4: 3, ipv6: 1 };
const TIME_EXCEEDED: Record<Family, number> = { ipv4: 11, ipv6: 3 };

function ofIcmp(types: Record<Family, number>, { family }: Scene): Truth['owns'] {
  return ({ icmpType }) => icmpType === types[family];
}

function either(...owners: readonly Truth['owns'][]): Truth['owns'] {
  return (end: FlowEnd) => owners.some((owns) => owns(end));
}

function ping(socket: string, ...options: readonly string[]): Case {
  return {
    name: `ping through a ${socket} socket: request and reply`,
    run: async (scene) => {
      const to = ['--to', scene.thereAddress, '--count', 3, ...options];
      const who = await lastReport(startHere(scene, 'icmp-echo', 'ping', ...to));
      const count = counted(who);
      return [
        { who, owns: ofIcmp(ECHO_REQUEST, scene), sent: count },
        { who, owns: ofIcmp(ECHO_REPLY, scene), received: count, methods: ['icmpId', 'socket'] },
      ];
    },
  };
}

/** Each raw socket is handed the replies to both, at sockets too. */
const TWO_PINGS: Case = {
  name: 'two processes that ping through raw sockets at the same time',
  run: async (scene) => {
    const pingers = [scene.thereAddress, scene.otherThereAddress].map((address) => {
      const to = ['--to', address, '--count', 5, '--unconnected', '--wait'];
      return { address, program: startHere(scene, 'icmp-echo', 'ping', ...to) };
    });
    for (const { program } of pingers) await program.report('ready');
    for (const { program } of pingers) program.write('\n');
    const truths: Truth[] = [];
    for (const { address, program } of pingers) {
      const who = await lastReport(program);
      const owns: Truth['owns'] = ({ peerAddress }) => peerAddress === address;
      const [sent, received] = [counted(who), counted(who)];
      truths.push({ who, owns, sent, received, methods: ['icmpId', 'socket'] });
    }
    return truths;
  },
};

/** A datagram that ends in an ICMP error, whose sender may be gone by then. */
function rejected(
  name: string,
  error: Record<Family, number>,
  prepare: (scene: Scene) => readonly (string | number)[],
): Case {
  return {
    name: `an ICMP error: ${name}`,
    atSockets: 'not seen',
    run: async (scene) => {
      const options = prepare(scene);
      const who = await lastReport(startHere(scene, 'udp-client', 'uc', ...options));
      return [
        { who, owns: ofPort(UDP, who.port), sent: counted(who) },
        { who, owns: ofIcmp(error, scene), methods: ['icmpError'] },
      ];
    },
  };
}

/** An address beyond the peer, over which the metered host sends to it; the peer knows a way or not. */
function addressBeyond(scene: Scene, isKnown: boolean): string {
  const { family, here, there, thereAddress, hereAddress } = scene;
  const [key, beyond] =
    family === 'ipv4'
      ? ['net.ipv4.ip_forward', thereAddress.replace('10.99', '10.97')]
      : ['net.ipv6.conf.all.forwarding', thereAddress.replace('fd99', 'fd97')];
  execFileSync('ip', ['netns', 'exec', there.namespace.name, 'sysctl', '-qw', `${key}=1`]);
  const route = ['route', 'add', beyond, 'via', thereAddress, 'src', hereAddress];
  execFileSync('ip', ['-n', here.namespace.name, ...route]);
  const onwards = ['route', 'add', beyond, 'via', hereAddress];
  if (isKnown) execFileSync('ip', ['-n', there.namespace.name, ...onwards]);
  return beyond;
}

/** A client that closes first; the peer answers when the test says so. */
function lateAnswer(name: string, isAfterExpiry: boolean): Case {
  return {
    name,
    isSlow: isAfterExpiry,
    run: async (scene) => {
      const server = await serverThere(scene, 'tcp-server', '--reply', 100, '--wait-to-reply');
      const options = [...server.to, '--octets', 10];
      const who = await lastReport(startHere(scene, 'tcp-client', 'tc', ...options));
      await server.program.report('read');
      for (const end of isAfterExpiry ? ['source', 'destination'] : []) {
        await scene.record(new RegExp(`"${end}Process":{[^}]*"${scene.comm('tc')}"`));
      }
      server.program.write('\n');
      await server.program.success();
      return [{ who, owns: ofPort(TCP, who.port), methods: ['socket', 'reverseFlow'] }];
    },
  };
}

export const KERNEL_CASES: readonly Case[] = [
  ping('raw'),
  ping('ping', '--ping-socket'),
  TWO_PINGS,
  {
    name: 'ping, where type and code of the reply are the number of a port that is bound',
    families: ['ipv6'],
    run: async (scene) => {
      const other = startHere(scene, 'udp-server', 'other', '--port', REPLY_AS_PORT);
      await other.report('ready');
      const truths = await ping('raw').run(scene);
      await other.stop('SIGKILL');
      return truths;
    },
  },
  {
    name: 'an echo request from elsewhere and its reply: the kernel',
    atSockets: 'not seen',
    run: async (scene) => {
      const to = ['--to', scene.hereAddress, '--count', 3];
      const echo = startGenerator(scene.t, scene.there, 'icmp-echo', ...to);
      const count = counted(await lastReport(echo));
      return [
        { who: 'kernel', owns: ofIcmp(ECHO_REQUEST, scene), received: count },
        { who: 'kernel', owns: ofIcmp(ECHO_REPLY, scene), sent: count },
      ];
    },
  },
  rejected('closed port', UNREACHABLE, ({ thereAddress }) => [
    ...['--to', thereAddress, '--port', CLOSED_PORT],
  ]),
  rejected('closed port, to a connected socket', UNREACHABLE, ({ thereAddress }) => [
    ...['--to', thereAddress, '--port', CLOSED_PORT, '--connected'],
  ]),
  rejected('time exceeded', TIME_EXCEEDED, (scene) => [
    ...['--to', addressBeyond(scene, true), '--port', 33_434, '--ttl', 1],
  ]),
  rejected('no route', UNREACHABLE, (scene) => [
    ...['--to', addressBeyond(scene, false), '--port', 33_434],
  ]),
  {
    name: 'a datagram to a closed port and the ICMP error for it: the kernel',
    atSockets: 'not seen',
    run: async (scene) => {
      const who = await clientThere(scene, 'udp-client', CLOSED_PORT);
      const owns = either(ofPort(UDP, CLOSED_PORT), ofIcmp(UNREACHABLE, scene));
      return [{ who: 'kernel', owns, received: counted(who) }];
    },
  },
  {
    name: 'a SYN to a closed port and the reset: the kernel',
    atSockets: 'not seen',
    run: async (scene) => {
      const to = ['--to', scene.hereAddress, '--port', CLOSED_PORT];
      const client = startGenerator(scene.t, scene.there, 'tcp-client', ...to);
      const { code } = await client.ended;
      if (code !== 1) throw new Error('somebody listens on the closed port');
      return [{ who: 'kernel', owns: ofPort(TCP, CLOSED_PORT) }];
    },
  },
  {
    name: 'a connection that its listener never accepts',
    run: async (scene) => {
      const server = startHere(scene, 'tcp-server', 'ts', '--never-accept');
      const who = await server.report('ready');
      await clientThere(scene, 'tcp-client', who.port, '--octets', 10);
      server.write('\n');
      await server.success();
      return [{ who, owns: ofPort(TCP, who.port), methods: ['listener', 'socket'] }];
    },
  },
  {
    name: 'a SYN to a listener whose queue is full',
    isSlow: true,
    run: async (scene) => {
      const options = ['--never-accept', '--backlog', 0];
      const server = startHere(scene, 'tcp-server', 'ts', ...options);
      const who = await server.report('ready');
      await clientThere(scene, 'tcp-client', who.port, '--octets', 10);
      const from = ['--source-port', SOURCE_PORT];
      const to = ['--to', scene.hereAddress, '--port', Number(who.port), ...from];
      const client = startGenerator(scene.t, scene.there, 'tcp-client', ...to);
      await scene.record(
        new RegExp(
          `"destinationAddress":"${scene.hereAddress}","sourceTransportPort":${SOURCE_PORT}`,
        ),
      );
      await client.stop('SIGKILL');
      server.write('\n');
      await server.success();
      const isRefused = ofPeerPort(TCP, SOURCE_PORT);
      return [
        { who, owns: isRefused, methods: ['listener'] },
        {
          who,
          owns: (end) => end.port === who.port && !isRefused(end),
          methods: ['listener', 'socket'],
        },
      ];
    },
  },
  lateAnswer('an answer to a process that has gone, and the reset', false),
  lateAnswer('an answer to a process that has gone, after its flow has been exported', true),
  {
    name: 'neighbour discovery: the kernel',
    families: ['ipv6'],
    atSockets: 'not seen',
    run: async (scene) => {
      const { here, thereAddress, interfaceName } = scene;
      const { to, port } = await serverThere(scene, 'udp-server', '--echo');
      const entry = ['neigh', 'del', thereAddress, 'dev', interfaceName];
      execFileSync('ip', ['-n', here.namespace.name, ...entry]);
      const who = await lastReport(startHere(scene, 'udp-client', 'uc', ...to, '--read-echo'));
      return [
        { who, owns: ofPeerPort(UDP, port) },
        { who: 'kernel', owns: ({ icmpType }) => icmpType === 135 || icmpType === 136 },
      ];
    },
  },
];
