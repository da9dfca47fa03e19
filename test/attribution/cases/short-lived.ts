// Processes that live a millisecond, 200 at once: each has its own pid, none may have another's.
import { GENERATORS, nameProgram } from '../../support/generators.js';
import { counted, ofPort, TCP, UDP, type Case } from '../case.js';
import { serverThere, startHere } from '../peer.js';

const PROCESSES = 200;
const FIRST_PORT = 20_000;

function burst(kind: 'tcp' | 'udp'): Case {
  return {
    name: `${PROCESSES} ${kind.toUpperCase()} clients at once that live a millisecond each`,
    run: async (scene) => {
      const server = await serverThere(scene, `${kind}-server`, '--count', PROCESSES);
      const path = nameProgram(scene.t, `${GENERATORS}/${kind}-client`, scene.comm('short'));
      const role = ['--count', PROCESSES, '--first-port', FIRST_PORT];
      const burst = startHere(scene, 'burst', 'burst', ...role, '--', path, ...server.to);
      const reports = await burst.success();
      await server.program.success();
      if (reports.length !== PROCESSES) throw new Error(`${reports.length} reports`);
      // a record that left the cache between a client's end and its connection's last packets
      const methods = ['socket', ...(kind === 'tcp' ? (['reverseFlow'] as const) : [])] as const;
      return reports.map((who) => ({
        who,
        methods,
        owns: ofPort(kind === 'tcp' ? TCP : UDP, who.port),
        ...(kind === 'udp' && { sent: counted(who) }),
      }));
    },
  };
}

export const SHORT_LIVED_CASES: readonly Case[] = [burst('tcp'), burst('udp')];
