// Every way that Linux has to send through a socket and to receive from one, each used by the
// process that opened the socket and by a child that inherited it.
import { readFileSync } from 'node:fs';
import { startGenerator } from '../../support/generators.js';
import {
  counted,
  lastReport,
  ofPort,
  TCP,
  UDP,
  type Case,
  type Scene,
  type SkipReason,
  type Truth,
} from '../case.js';

type Transport = 'tcp' | 'udp';

/** A way's name for the generators, and further options that it takes. */
type Way = readonly [name: string, ...options: readonly string[]];

const NOTHING = { packets: 0, octets: 0 };
const COUNT = 3;
const SIZE = 100;

function uringMissing(): SkipReason | undefined {
  try {
    // 2: nobody may; the file is there from Linux 6.6 on
    const disabled = readFileSync('/proc/sys/kernel/io_uring_disabled', 'utf8');
    return disabled.trim() === '2' ? 'ioUring' : undefined;
  } catch {
    return undefined;
  }
}

function missing(way: Way): Pick<Case, 'missing'> {
  return way[0].startsWith('uring-') ? { missing: uringMissing } : {};
}

/** One process, or a child of it, sends; the peer only receives. */
async function sendBy(
  scene: Scene,
  transport: Transport,
  way: Way,
  fork: readonly string[],
): Promise<Truth> {
  const { t, here, there, thereAddress, comm } = scene;
  const isUdp = transport === 'udp';
  const kind = isUdp ? ['--udp', '--count', COUNT] : [];
  const receiver = startGenerator(t, there, 'io-receiver', '--how', 'readv', ...kind);
  const { port } = await receiver.report('ready');
  const command = ['io-sender', comm(`${transport}${fork.length > 0 ? '-child' : ''}`)] as const;
  const to = ['--to', thereAddress, '--port', Number(port), '--count', COUNT, '--size', SIZE];
  const sender = startGenerator(t, here, command, ...to, ...kind, '--how', ...way, ...fork);
  const who = await lastReport(sender);
  await receiver.success();
  if (!isUdp) return { who, owns: ofPort(TCP, who.port) };
  return { who, owns: ofPort(UDP, who.port), sent: counted(who), received: NOTHING };
}

/** One process, or a child of it, receives and never sends. */
async function receiveBy(
  scene: Scene,
  transport: Transport,
  way: Way,
  fork: readonly string[],
): Promise<Truth> {
  const { t, here, there, hereAddress, comm } = scene;
  const isUdp = transport === 'udp';
  const kind = isUdp ? ['--udp'] : [];
  // Who only looks takes nothing: a second datagram would stay behind the first.
  const count = way[0] === 'peek' ? 1 : COUNT;
  const amount = ['--count', count, '--size', count * SIZE];
  const command = ['io-receiver', comm(`${transport}${fork.length > 0 ? '-child' : ''}`)] as const;
  const options = ['--address', hereAddress, ...kind, ...amount, '--how', ...way, ...fork];
  const receiver = startGenerator(t, here, command, ...options);
  const { port } = await receiver.report('ready');
  const to = ['--to', hereAddress, '--port', Number(port), '--count', count, '--size', SIZE];
  const sender = startGenerator(t, there, 'io-sender', '--how', 'write', ...to, ...kind);
  const sent = await lastReport(sender);
  const who = await lastReport(receiver);
  if (Number(who.received_octets) !== count * SIZE) throw new Error('octets are missing');
  if (!isUdp) return { who, owns: ofPort(TCP, who.port) };
  return { who, owns: ofPort(UDP, who.port), sent: NOTHING, received: counted(sent) };
}

function sending(name: string, ...way: Way): Case {
  return {
    name: `sending by ${name}, with one's own socket and an inherited one`,
    ...missing(way),
    run: async (scene) => [
      await sendBy(scene, 'tcp', way, []),
      await sendBy(scene, 'tcp', way, ['--fork']),
      await sendBy(scene, 'udp', way, []),
      await sendBy(scene, 'udp', way, ['--fork']),
    ],
  };
}

function receiving(name: string, transports: readonly Transport[], ...way: Way): Case {
  return {
    name: `receiving by ${name}, with one's own socket and an inherited one`,
    ...missing(way),
    run: async (scene) => {
      const truths: Truth[] = [];
      for (const transport of transports) {
        truths.push(await receiveBy(scene, transport, way, []));
        truths.push(await receiveBy(scene, transport, way, ['--fork']));
      }
      return truths;
    },
  };
}

const BOTH = ['tcp', 'udp'] as const;

export const IO_CASES: readonly Case[] = [
  sending('write', 'write'),
  sending('writev', 'writev'),
  sending('sendmmsg', 'sendmmsg'),
  sending('sendfile', 'sendfile'),
  sending('splice from a pipe', 'splice'),
  sending('MSG_ZEROCOPY, its completions read from the error queue', 'zerocopy'),
  sending('io_uring SEND', 'uring-send'),
  sending('io_uring SEND in a worker of the ring', 'uring-send', '--async'),
  sending('io_uring SEND with SQPOLL', 'uring-send', '--sqpoll'),
  sending('io_uring SEND_ZC', 'uring-send-zc'),
  sending('io_uring SENDMSG', 'uring-sendmsg'),
  sending('io_uring SENDMSG with SQPOLL', 'uring-sendmsg', '--sqpoll'),
  sending('io_uring WRITE', 'uring-write'),
  receiving('readv', BOTH, 'readv'),
  receiving('recvmmsg', BOTH, 'recvmmsg'),
  receiving('splice into a pipe', BOTH, 'splice'),
  receiving('TCP_ZEROCOPY_RECEIVE', ['tcp'], 'zerocopy'),
  receiving('MSG_PEEK alone', BOTH, 'peek'),
  receiving('io_uring RECV', BOTH, 'uring-recv'),
  receiving('io_uring RECV in a worker of the ring', BOTH, 'uring-recv', '--async'),
  receiving('io_uring RECV with SQPOLL', BOTH, 'uring-recv', '--sqpoll'),
  receiving('io_uring RECVMSG', BOTH, 'uring-recvmsg'),
  receiving('io_uring RECVMSG with SQPOLL', BOTH, 'uring-recvmsg', '--sqpoll'),
  receiving('io_uring READ', BOTH, 'uring-read'),
];
