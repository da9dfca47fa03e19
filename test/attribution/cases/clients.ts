// Clients: what a program opens, sends and receives by itself.
import { counted, lastReport, ofPeerPort, TCP, UDP, type Case, type Count } from '../case.js';
import { serverThere, startHere, type Arguments } from '../peer.js';

const NOTHING: Count = { packets: 0, octets: 0 };

function tcpClient(name: string, server: Arguments, ...client: Arguments): Case {
  return {
    name: `a TCP client ${name}`,
    run: async (scene) => {
      const { to, port, program } = await serverThere(scene, 'tcp-server', ...server);
      const who = await lastReport(startHere(scene, 'tcp-client', 'tc', ...to, ...client));
      await program.success();
      return [{ who, owns: ofPeerPort(TCP, port) }];
    },
  };
}

/** Every datagram comes back, or none. */
function udpClient(name: string, ...client: Arguments): Case {
  return {
    name: `a UDP client ${name}`,
    run: async (scene) => {
      const isEchoed = client.includes('--read-echo');
      const server = isEchoed ? ['--echo'] : [];
      const { to, port } = await serverThere(scene, 'udp-server', ...server);
      const program = startHere(scene, 'udp-client', 'uc', ...to, ...client);
      const done = await program.success();
      const [who] = done;
      if (who === undefined) throw new Error('the client reported nothing');
      const sent = sumOf(done.map(counted));
      const received = isEchoed ? sent : NOTHING;
      return [{ who, owns: ofPeerPort(UDP, port), sent, received }];
    },
  };
}

function sumOf(counts: readonly Count[]): Count {
  const sum = { packets: 0, octets: 0 };
  for (const { packets, octets } of counts) {
    sum.packets += packets;
    sum.octets += octets;
  }
  return sum;
}

/** Datagrams in fragments, or with options: their octets are known on the wire only. */
function oddUdpClient(name: string, ...client: Arguments): Case {
  return {
    name: `a UDP client ${name}`,
    run: async (scene) => {
      const { to, port } = await serverThere(scene, 'udp-server', '--echo');
      const options = [...client, '--count', 3, '--read-echo'];
      const who = await lastReport(startHere(scene, 'udp-client', 'uc', ...to, ...options));
      return [{ who, owns: ofPeerPort(UDP, port) }];
    },
  };
}

const MANY = 40;

export const CLIENT_CASES: readonly Case[] = [
  tcpClient('that connects and exits at once', []),
  tcpClient('that sends', [], '--octets', 2_000_000),
  tcpClient('that receives', ['--reply', 2_000_000], '--octets', 10, '--read-echo'),
  tcpClient('that sends and receives at once', ['--echo'], '--octets', 500_000, '--read-echo'),
  tcpClient('that leaves without reading the answer', ['--echo'], '--octets', 5000),
  tcpClient('with many connections', ['--count', MANY], '--octets', 100, '--connections', MANY),
  tcpClient(
    'with a burst of parallel connections',
    ['--count', MANY, '--echo', '--threads'],
    ...['--octets', 100, '--connections', MANY, '--parallel', '--read-echo'],
  ),
  {
    ...tcpClient(
      'that sends drop by drop',
      ['--echo'],
      ...['--octets', 24, '--parts', 24, '--pause', 100, '--read-echo'],
    ),
    isSlow: true,
  },
  tcpClient('that uses a duplicated descriptor', [], '--octets', 100, '--duplicate'),
  udpClient('that sends one datagram and exits'),
  udpClient('that asks once and reads the answer', '--read-echo'),
  udpClient('with an unconnected socket', '--read-echo', '--count', 20),
  udpClient('with a connected socket', '--read-echo', '--connected', '--count', 20),
  udpClient('that sends a lot', '--count', 500, '--size', 1400),
  udpClient('with many sockets of one datagram', '--flows', MANY),
  udpClient('with many connected sockets', '--flows', MANY, '--connected', '--read-echo'),
  { ...udpClient('that sends drop by drop', '--count', 24, '--pause', 100), isSlow: true },
  { ...oddUdpClient('whose datagrams are fragmented', '--size', 4000), atSockets: 'not counted' },
  oddUdpClient('with IP options or extension headers', '--ip-options'),
  {
    name: 'a UDP client that broadcasts',
    families: ['ipv4'],
    run: async (scene) => {
      const { port } = await serverThere(scene, 'udp-server', '--address', '0.0.0.0', '--echo');
      const to = ['--to', scene.hereAddress.replace(/\d+$/, '255'), '--port', port];
      const options = ['--from', scene.hereAddress, '--broadcast', '--read-echo'];
      const who = await lastReport(startHere(scene, 'udp-client', 'bc', ...to, ...options));
      const count = counted(who);
      return [{ who, owns: ofPeerPort(UDP, port), sent: count, received: count }];
    },
  },
  {
    name: 'a UDP client that sends to a multicast group',
    run: async (scene) => {
      const { family, hereAddress, interfaceName } = scene;
      const group = family === 'ipv4' ? '239.99.0.1' : 'ff15::99';
      const any = family === 'ipv4' ? '0.0.0.0' : '::';
      const join = ['--join', group, '--interface', interfaceName];
      const { port } = await serverThere(scene, 'udp-server', '--address', any, '--echo', ...join);
      const to = ['--to', group, '--port', port, '--from', hereAddress, '--read-echo'];
      const who = await lastReport(startHere(scene, 'udp-client', 'mc', ...to));
      const count = counted(who);
      return [{ who, owns: ofPeerPort(UDP, port), sent: count, received: count }];
    },
  },
];
