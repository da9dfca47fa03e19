// Protocols that open sockets of their own, wrap packets, or send without a call: Multipath TCP,
// UDP-Lite, TCP Fast Open, keepalive, VXLAN.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { GENERATORS, runGenerator, startGenerator, type Place } from '../../support/generators.js';
import { kernelHasLinks } from '../../support/network-namespace.js';
import {
  counted,
  lastReport,
  ofPeerPort,
  ofPort,
  TCP,
  UDP,
  type Case,
  type Scene,
  type SkipReason,
  type Truth,
} from '../case.js';
import type { Arguments } from '../peer.js';

const NOTHING = { packets: 0, octets: 0 };
const UDP_LITE = 136;
const MPTCP_OPTIONS = ['--protocol', 262];
const UDP_LITE_OPTIONS = ['--udp', '--protocol', UDP_LITE];
const SCTP = 132;
const VXLAN_PORT = 4789;

function mptcpMissing(): SkipReason | undefined {
  return existsSync('/proc/sys/net/mptcp/enabled') ? undefined : 'mptcp';
}

/** Asked of the kernel: a socket of it is refused where it is missing. */
function sctpMissing(): SkipReason | undefined {
  const args = ['--sctp', '--to', '127.0.0.1', '--port', '9'];
  const { stderr } = spawnSync(`${GENERATORS}/tcp-client`, args, { encoding: 'utf8' });
  return stderr.startsWith('socket: Protocol not supported') ? 'sctp' : undefined;
}

function sctp(name: string, isClient: boolean): Case {
  return {
    name,
    missing: sctpMissing,
    run: async (scene) => {
      const { t, here, there, hereAddress, thereAddress, comm } = scene;
      const [serverAt, clientAt] = isClient ? [there, here] : [here, there];
      const server = startGenerator(t, serverAt, ['tcp-server', comm('sctp')], '--sctp', '--echo');
      const ready = await server.report('ready');
      const to = ['--to', isClient ? thereAddress : hereAddress, '--port', Number(ready.port)];
      const talk = ['--sctp', ...to, '--octets', 500, '--read-echo'];
      const done = await runGenerator(t, clientAt, ['tcp-client', comm('sctp')], ...talk);
      await server.success();
      return [{ who: isClient ? done : ready, owns: ({ protocol }) => protocol === SCTP }];
    },
  };
}

function udpLiteMissing(): SkipReason | undefined {
  return existsSync('/proc/net/udplite') ? undefined : 'udpLite';
}

function vxlanMissing(): SkipReason | undefined {
  const link = ['type', 'vxlan', 'id', '7', 'dstport', String(VXLAN_PORT)];
  return kernelHasLinks(...link) ? undefined : 'vxlan';
}

function ipIn({ namespace }: Place, ...args: readonly string[]): void {
  execFileSync('ip', ['-n', namespace.name, ...args]);
}

function execIn({ namespace }: Place, ...command: readonly string[]): void {
  execFileSync('ip', ['netns', 'exec', namespace.name, ...command]);
}

/** The metered host sends by write to a receiver on the peer: its report and the peer's port. */
async function sendOut(
  { t, here, there, thereAddress, comm }: Scene,
  socket: Arguments,
  ...options: Arguments
): Promise<Pick<Truth, 'who'> & { readonly port: number; readonly peerPort: number }> {
  const own = ['--address', thereAddress, '--how', 'readv', ...socket];
  const receiver = startGenerator(t, there, 'io-receiver', ...own);
  const peerPort = Number((await receiver.report('ready')).port);
  const to = ['--to', thereAddress, '--port', peerPort, '--how', 'write', ...socket, ...options];
  const who = await runGenerator(t, here, ['io-sender', comm('out')], ...to);
  await receiver.success();
  return { who, port: Number(who.port), peerPort };
}

/** The peer sends by write to a receiver on the metered host: both reports. */
async function takeIn(
  { t, here, there, hereAddress, comm }: Scene,
  socket: Arguments,
  ...options: Arguments
): Promise<Pick<Truth, 'who' | 'received'> & { readonly port: number }> {
  // the last word on how it receives counts
  const own = ['--address', hereAddress, '--how', 'readv', ...socket, ...options];
  const receiver = startGenerator(t, here, ['io-receiver', comm('in')], ...own);
  const port = Number((await receiver.report('ready')).port);
  const to = ['--to', hereAddress, '--port', port, '--how', 'write', ...socket];
  const sent = await lastReport(startGenerator(t, there, 'io-sender', ...to));
  return { who: await lastReport(receiver), received: counted(sent), port };
}

/** A tunnel with an address at each end, in which neither kernel sends anything of its own. */
function makeTunnel(scene: Scene, tunnel: number): { readonly far: string; readonly near: string } {
  const { here, there, hereAddress, thereAddress, interfaceName } = scene;
  const id = `${scene.family.slice(-1)}${tunnel}`;
  const [near, far] = [`10.88.${id}.1`, `10.88.${id}.2`];
  for (const [place, number, local, remote] of [
    [here, '1', hereAddress, thereAddress],
    [there, '2', thereAddress, hereAddress],
  ] as const) {
    const name = `vxlan${id}`;
    const ends = ['id', id, 'local', local, 'remote', remote, 'dev', interfaceName];
    const mac = `02:00:00:00:${id}:0`;
    const own = ['address', `${mac}${number}`];
    const type = ['type', 'vxlan', ...ends, 'dstport', String(VXLAN_PORT), 'udp6zerocsumrx'];
    ipIn(place, 'link', 'add', name, ...own, ...type);
    execIn(place, 'sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`);
    ipIn(place, 'addr', 'add', `10.88.${id}.${number}/24`, 'dev', name);
    ipIn(place, 'link', 'set', name, 'up');
    const [peer, peerNumber] = number === '1' ? [far, '2'] : [near, '1'];
    ipIn(place, 'neigh', 'replace', peer, 'lladdr', `${mac}${peerNumber}`, 'dev', name);
    scene.t.teardown(() => ipIn(place, 'link', 'del', name));
  }
  return { near, far };
}

export const PROTOCOL_CASES: readonly Case[] = [
  sctp('an SCTP client', true),
  sctp('an SCTP server', false),
  {
    name: 'Multipath TCP in both directions',
    missing: mptcpMissing,
    run: async (scene) => {
      const [out, taken] = [
        await sendOut(scene, MPTCP_OPTIONS),
        await takeIn(scene, MPTCP_OPTIONS),
      ];
      return [
        { who: out.who, owns: ofPeerPort(TCP, out.peerPort) },
        { who: taken.who, owns: ofPort(TCP, taken.port) },
      ];
    },
  },
  {
    name: 'a child that uses its parent’s socket of Multipath TCP',
    missing: mptcpMissing,
    run: async (scene) => {
      const out = await sendOut(scene, MPTCP_OPTIONS, '--fork');
      const taken = await takeIn(scene, MPTCP_OPTIONS, '--fork');
      return [
        { who: out.who, owns: ofPeerPort(TCP, out.peerPort) },
        { who: taken.who, owns: ofPort(TCP, taken.port) },
      ];
    },
  },
  {
    name: 'a second subflow of Multipath TCP, which the kernel opens',
    missing: mptcpMissing,
    run: async (scene) => {
      const { here, there, interfaceName, otherThereAddress } = scene;
      const limits = ['subflow', '2', 'add_addr_accepted', '2'];
      for (const place of [here, there]) execIn(place, 'ip', 'mptcp', 'limits', 'set', ...limits);
      const endpoint = [otherThereAddress, 'dev', interfaceName, 'signal'];
      execIn(there, 'ip', 'mptcp', 'endpoint', 'add', ...endpoint);
      // much, and a while more, in which the second one joins
      const much = ['--size', 60_000, '--count', 200, '--idle-seconds', 2];
      const { who, peerPort } = await sendOut(scene, MPTCP_OPTIONS, ...much);
      execIn(there, 'ip', 'mptcp', 'endpoint', 'flush');
      const isSecond = ofPeerPort(TCP, peerPort);
      const isTo =
        (address: string): Truth['owns'] =>
        (end) =>
          isSecond(end) && end.peerAddress === address;
      return [
        { who, owns: isTo(scene.thereAddress) },
        { who, owns: isTo(otherThereAddress) },
      ];
    },
  },
  {
    name: 'UDP-Lite that goes out',
    missing: udpLiteMissing,
    run: async (scene) => {
      const { who, port } = await sendOut(scene, UDP_LITE_OPTIONS);
      return [{ who, owns: ofPort(UDP_LITE, port), received: NOTHING }];
    },
  },
  ...['readv', 'recvfrom'].map((how): Case => ({
    name: `UDP-Lite that comes in, by ${how}`,
    missing: udpLiteMissing,
    run: async (scene) => {
      const taken = await takeIn(scene, UDP_LITE_OPTIONS, '--how', how);
      const { who, received = NOTHING, port } = taken;
      return [{ who, owns: ofPort(UDP_LITE, port), sent: NOTHING, received }];
    },
  })),
  {
    name: 'TCP Fast Open: data in the first packet',
    run: async (scene) => {
      // without cookies, on either side
      const setting = 'net.ipv4.tcp_fastopen=0x207';
      for (const place of [scene.here, scene.there]) execIn(place, 'sysctl', '-qw', setting);
      const out = await sendOut(scene, ['--fast-open']);
      const taken = await takeIn(scene, ['--fast-open']);
      return [
        { who: out.who, owns: ofPort(TCP, out.port) },
        { who: taken.who, owns: ofPort(TCP, taken.port) },
      ];
    },
  },
  {
    name: 'keepalive probes of a TCP connection that is idle',
    isSlow: true,
    run: async (scene) => {
      const { who, port } = await sendOut(scene, [], '--idle-seconds', 3);
      return [{ who, owns: ofPort(TCP, port) }];
    },
  },
  {
    // The outer packets: of many processes, in one flow. Whose each was, the tunnel's interface shows.
    name: 'packets that go out in a VXLAN tunnel: the kernel',
    missing: vxlanMissing,
    atSockets: 'not seen', // but what is inside
    run: async (scene) => {
      const { far } = makeTunnel(scene, 1);
      const to = ['--to', far, '--port', 9, '--count', 3];
      const taker = startGenerator(scene.t, scene.there, 'udp-server', '--port', 9, '--count', 99);
      await taker.report('ready');
      await runGenerator(scene.t, scene.here, ['udp-client', scene.comm('in')], ...to);
      await taker.stop();
      return [{ who: 'kernel', owns: ofPeerPort(UDP, VXLAN_PORT), received: NOTHING }];
    },
  },
  {
    name: 'packets that come in in a VXLAN tunnel: the kernel',
    missing: vxlanMissing,
    atSockets: 'not seen', // but what is inside
    run: async (scene) => {
      const { near } = makeTunnel(scene, 2);
      const to = ['--to', near, '--port', 9, '--count', 3];
      const taker = startGenerator(scene.t, scene.here, 'udp-server', '--port', 9, '--count', 99);
      await taker.report('ready');
      await runGenerator(scene.t, scene.there, 'udp-client', ...to);
      await taker.stop();
      return [{ who: 'kernel', owns: ofPort(UDP, VXLAN_PORT), sent: NOTHING }];
    },
  },
];
