// A third host behind the metered one, which forwards between it and the peer.
import { execFileSync } from 'node:child_process';
import { runGenerator, type Place } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import type { Scene } from './case.js';

/** A third host behind the metered one. */
export interface Beyond {
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
export async function makeBeyond(scene: Scene): Promise<Beyond> {
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
  // Neighbours may need a second to find each other: as long as a short idle timeout.
  await runGenerator(t, { namespace: here.namespace }, 'icmp-echo', '--to', address);
  const close = (): void => {
    for (const key of keys) set(here, key, 0);
    ip(here, 'link', 'del', device);
  };
  return { place, address, close };
}
