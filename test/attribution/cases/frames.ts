// Packets that programs build themselves: through AF_PACKET and through raw sockets.
import { execFileSync } from 'node:child_process';
import { runGenerator, startGenerator } from '../../support/generators.js';
import {
  counted,
  lastReport,
  ofPeerPort,
  UDP,
  type Case,
  type Scene,
  type Truth,
} from '../case.js';

export const NOTHING = { packets: 0, octets: 0 };
/** RFC 3692: for experiments; the kernel knows nothing of it. */
const RAW_PROTOCOL = 253;
const SHARED_PROTOCOL = 254;

export function peerMac({ there, interfaceName }: Scene): string {
  const show = ['-n', there.namespace.name, '-j', 'link', 'show', interfaceName];
  const [link] = JSON.parse(execFileSync('ip', show, { encoding: 'utf8' })) as [
    { address: string },
  ];
  return link.address;
}

/** To a socket that nobody reads, so that the peer answers nothing. */
export async function silentPort({ t, there, thereAddress }: Scene): Promise<number> {
  const server = startGenerator(
    t,
    there,
    'udp-server',
    '--address',
    thereAddress,
    '--count',
    100_000,
  );
  return Number((await server.report('ready')).port);
}

/** A single packet, and many. */
function frames(name: string, ...options: readonly string[]): Case {
  return {
    name,
    atSockets: 'not seen',
    run: async (scene) => {
      const { t, here, thereAddress, hereAddress, interfaceName, comm } = scene;
      const wire = ['--interface', interfaceName, '--destination-mac', peerMac(scene)];
      const truths: Truth[] = [];
      for (const count of [1, 200]) {
        const port = await silentPort(scene);
        const ends = ['--source', hereAddress, '--to', thereAddress, '--port', port];
        const command = ['frame-sender', comm('frames')] as const;
        const all = [...wire, ...ends, '--count', count, ...options];
        const who = await runGenerator(t, here, command, ...all);
        const sent = counted(who);
        truths.push({ who, owns: ofPeerPort(UDP, port), sent, received: NOTHING });
      }
      return truths;
    },
  };
}

function raw(name: string, ...options: readonly string[]): Case {
  return {
    name,
    run: async ({ t, here, there, thereAddress, comm }) => {
      // Somebody there takes them, so that no ICMP error comes back.
      const own = ['--protocol', RAW_PROTOCOL];
      const all = ['--address', thereAddress, ...own, '--count', 999];
      const taker = startGenerator(t, there, 'raw-receiver', ...all);
      await taker.report('ready');
      const to = ['--to', thereAddress, ...own, ...options];
      const who = await runGenerator(t, here, ['raw-sender', comm('raw')], ...to);
      const owns: Truth['owns'] = (end) => end.protocol === RAW_PROTOCOL;
      return [{ who, owns, sent: counted(who), received: NOTHING }];
    },
  };
}

export const FRAME_CASES: readonly Case[] = [
  frames('frames through AF_PACKET'),
  frames('frames through AF_PACKET with a mapped ring', '--mapped-ring'),
  raw('one packet of a protocol of its own from a raw socket'),
  raw('packets from a connected raw socket', '--connected', '--count', '5'),
  raw('a packet whose IP header the program wrote', '--header-included'),
  {
    name: 'a raw socket that receives a protocol of its own',
    run: async ({ t, here, there, hereAddress, comm }) => {
      const options = ['--address', hereAddress, '--protocol', RAW_PROTOCOL, '--count', 3];
      const receiver = startGenerator(t, here, ['raw-receiver', comm('raw')], ...options);
      await receiver.report('ready');
      const to = ['--to', hereAddress, '--protocol', RAW_PROTOCOL, '--count', 3];
      await runGenerator(t, there, 'raw-sender', ...to);
      const who = await lastReport(receiver);
      const owns: Truth['owns'] = (end) => end.protocol === RAW_PROTOCOL;
      return [{ who, owns, sent: NOTHING, received: counted(who) }];
    },
  },
  {
    name: 'a raw socket of a protocol of which another one has been closed',
    run: async ({ t, here, there, hereAddress, comm }) => {
      const options = ['--address', hereAddress, '--protocol', SHARED_PROTOCOL];
      const taker = ['raw-receiver', comm('stays')] as const;
      const receiver = startGenerator(t, here, taker, ...options, '--count', 3);
      await receiver.report('ready');
      await runGenerator(t, here, ['raw-receiver', comm('goes')], ...options, '--count', 0);
      const to = ['--to', hereAddress, '--protocol', SHARED_PROTOCOL, '--count', 3];
      await runGenerator(t, there, 'raw-sender', ...to);
      const who = await lastReport(receiver);
      const owns: Truth['owns'] = (end) => end.protocol === SHARED_PROTOCOL;
      return [{ who, owns, sent: NOTHING, received: counted(who) }];
    },
  },
];
