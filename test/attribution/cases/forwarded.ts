// What the metered host forwards belongs to none of its processes, also where one of them listens on
// the same port on all addresses.
import { runGenerator, startGenerator } from '../../support/generators.js';
import { makeBeyond } from '../beyond.js';
import { TCP, UDP, type Case } from '../case.js';
import { startHere } from '../peer.js';

const PORT = 5353;

function forwarded(kind: 'tcp' | 'udp'): Case {
  return {
    name: `${kind.toUpperCase()} that passes through this host: forwarded`,
    atSockets: 'not seen',
    run: async (scene) => {
      const { t, family, there } = scene;
      const beyond = await makeBeyond(scene);
      try {
        const any = family === 'ipv4' ? '0.0.0.0' : '::';
        const role = ['--echo', '--address', any, '--port', PORT];
        const own = startHere(scene, `${kind}-server`, 'router', ...role);
        const server = startGenerator(t, beyond.place, `${kind}-server`, ...role);
        await Promise.all([own.report('ready'), server.report('ready')]);
        const talk = kind === 'tcp' ? ['--octets', 1000] : [];
        const to = ['--to', beyond.address, '--port', PORT, '--read-echo'];
        await runGenerator(t, there, `${kind}-client`, ...to, ...talk);
        await server.success();
        await own.stop('SIGKILL');
      } finally {
        beyond.close();
      }
      const protocol = kind === 'tcp' ? TCP : UDP;
      return [{ who: 'forwarded', owns: (end) => end.protocol === protocol }];
    },
  };
}

export const FORWARDED_CASES: readonly Case[] = [forwarded('udp'), forwarded('tcp')];
