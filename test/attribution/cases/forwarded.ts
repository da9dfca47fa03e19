// What the metered host forwards belongs to none of its processes, also where one of them listens on
// the same port on all addresses.
import { execFileSync } from 'node:child_process';
import { runGenerator, startGenerator, type Place } from '../../support/generators.js';
import { createNamespace } from '../../support/network-namespace.js';
import { TCP, UDP, type Case, type Scene } from '../case.js';
import { startHere } from '../peer.js';

const PORT = 5353;

/** A third host behind the metered one. */
interface Beyond {
  readonly place: Place;
  readonly address: string;
  readonly close: () => void;
}

function ip(place: Place, ...args: readonly string[]): void {
  execFileSync('ip', ['-n', place.namespace.name, ...args]);
}

function set(place: Place, key: string, value: number): void {
  const command = ['netns', 'exec', place.namespace.name, 'sysctl', '-qw', `${key}=${value}`];
  execFileSync('ip', command);
}

/** Joined to the metered host by a wire that is not metered; every packet crosses the other one. */
function makeBeyond(scene: Scene): Beyond {
  const { t, family, here, there, hereAddress, thereAddress, comm, interfaceName } = scene;
  const place: Place = { namespace: createNamespace(t) };
  const isV4 = family === 'ipv4';
  const address = isV4
    ? hereAddress.replace('10.99', '10.96').replace(/1$/, '2')
    : hereAddress.replace('fd99', 'fd96').replace(/1$/, '2');
  const gateway = address.replace(/2$/, '1');
  const device = comm('to');
  const peer = ['peer', 'name', 'eth0', 'netns', place.namespace.name];
  ip(here, 'link', 'add', device, 'type', 'veth', ...peer);
  const own = isV4 ? [] : ['nodad'];
  for (const [at, name, end] of [
    [here, device, gateway],
    [place, 'eth0', address],
  ] as const) {
    ip(at, 'link', 'set', name, 'up');
    ip(at, 'addr', 'add', `${end}/${isV4 ? 24 : 64}`, 'dev', name, ...own);
  }
  ip(place, 'route', 'add', 'default', 'via', gateway);
  ip(there, 'route', 'add', address, 'via', hereAddress, 'src', thereAddress);
  const keys = isV4
    ? [device, interfaceName].map((name) => `net.ipv4.conf.${name}.forwarding`)
    : ['net.ipv6.conf.all.forwarding'];
  for (const key of keys) set(here, key, 1);
  const close = (): void => {
    for (const key of keys) set(here, key, 0);
    ip(here, 'link', 'del', device);
  };
  return { place, address, close };
}

function forwarded(kind: 'tcp' | 'udp'): Case {
  return {
    name: `${kind.toUpperCase()} that passes through this host: forwarded`,
    atSockets: 'not seen',
    run: async (scene) => {
      const { t, family, there } = scene;
      const beyond = makeBeyond(scene);
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
