// Sockets that one process opens and another one uses: inherited over fork and exec, passed on
// over a Unix socket, or shared.
import { setTimeout as sleep } from 'node:timers/promises';
import { GENERATORS, nameProgram } from '../../support/generators.js';
import { counted, lastReport, ofPeerPort, ofPort, TCP, UDP, type Case } from '../case.js';
import { serverThere, startHere, type Arguments } from '../peer.js';

const KINDS = ['tcp', 'udp'] as const;
type Kind = (typeof KINDS)[number];
const PROTOCOL = { tcp: TCP, udp: UDP } as const;

/** Longer than LATE_OWNER_GRACE_NS in bpf/process_owner.h. */
const PAUSE_MS = 300;
const PORT = 7001;

/** A child sends on what its parent opened and the parent never uses. */
function forked(kind: Kind): Case {
  return {
    name: `a child that sends on its parent’s ${kind.toUpperCase()} socket`,
    run: async (scene) => {
      const { to } = await serverThere(scene, `${kind}-server`);
      const who = await lastReport(startHere(scene, 'fork-and-send', 'fork', ...to, `--${kind}`));
      return [{ who, owns: ofPort(PROTOCOL[kind], who.port) }];
    },
  };
}

/** The program that opens the socket becomes another one, which uses it. */
function executed(kind: Kind, ...options: Arguments): Case {
  const used = options.includes('--use-first') ? ' that had been used before' : '';
  return {
    name: `a program that got its ${kind.toUpperCase()} socket over exec${used}`,
    run: async (scene) => {
      const { to } = await serverThere(scene, `${kind}-server`);
      const path = nameProgram(scene.t, `${GENERATORS}/${kind}-client`, scene.comm('new'));
      const client = kind === 'tcp' ? ['--octets', 10] : [...to, '--connected'];
      const open = [...to, `--${kind}`, ...options, '--', path, ...client];
      const who = await lastReport(startHere(scene, 'exec-after-open', 'opener', ...open));
      return [{ who, owns: ofPort(PROTOCOL[kind], who.port) }];
    },
  };
}

function passed(kind: Kind, ...options: Arguments): Case {
  const isUsed = options.includes('--use-first');
  const used = isUsed ? ' that had been used before' : '';
  return {
    name: `a process that was passed a ${kind.toUpperCase()} socket${used}`,
    run: async (scene) => {
      const { to } = await serverThere(scene, `${kind}-server`);
      const role = [...to, `--${kind}`, ...options];
      const program = startHere(scene, 'pass-descriptor', 'passer', ...role);
      if (isUsed) {
        await program.report('sent');
        program.write('\n');
      }
      const who = await lastReport(program);
      return [{ who, owns: ofPort(PROTOCOL[kind], who.port) }];
    },
  };
}

export const HANDED_ON_CASES: readonly Case[] = [
  ...KINDS.map(forked),
  ...KINDS.map((kind) => executed(kind)),
  executed('tcp', '--use-first'),
  executed('udp', '--use-first'),
  ...KINDS.map((kind) => passed(kind)),
  passed('tcp', '--use-first'),
  passed('udp', '--use-first'),
  {
    name: 'two processes that use one UDP socket one after the other, for a peer each',
    run: async (scene) => {
      await serverThere(scene, 'udp-server', '--port', PORT);
      await serverThere(scene, 'udp-server', '--port', PORT + 1);
      const ports = ['--parent-port', PORT, '--port', PORT + 1];
      const to = ['--to', scene.thereAddress, ...ports];
      const program = startHere(scene, 'fork-and-send', 'fork', ...to);
      const parent = await program.report('sent');
      await sleep(PAUSE_MS);
      program.write('\n');
      const child = await lastReport(program);
      return [
        { who: parent, owns: ofPeerPort(UDP, PORT) },
        { who: child, owns: ofPeerPort(UDP, PORT + 1) },
      ];
    },
  },
  {
    name: 'four processes that use one UDP socket at the same time, for a peer each',
    run: async (scene) => {
      for (let n = 0; n < 4; n++) await serverThere(scene, 'udp-server', '--port', PORT + n);
      const to = ['--to', scene.thereAddress, '--port', PORT];
      const options = ['--processes', 4, '--count', 50];
      const senders = await startHere(scene, 'shared-sender', 'share', ...to, ...options).success();
      return senders.map((who) => ({
        who,
        owns: ofPeerPort(UDP, who.peer_port),
        sent: counted(who),
      }));
    },
  },
];
