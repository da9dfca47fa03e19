// Two network namespaces with a veth pair between them: the wire of the end-to-end tests.
// Nothing outside of them is touched, and their names are unique to the process and the call.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Teardown } from './program.js';

export interface Namespace {
  readonly name: string;
  /** What setns() wants. */
  readonly path: string;
}

/** One end of the pair. */
export interface Side extends Namespace {
  readonly interfaceName: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface NamespacePair {
  readonly a: Side;
  readonly b: Side;
}

export interface InterfaceCounters {
  readonly receivedPackets: number;
  readonly receivedOctets: number;
  readonly sentPackets: number;
  readonly sentOctets: number;
  /** On the way out. */
  readonly droppedPackets: number;
}

export const ETHERNET_OCTETS = 14;
const INTERFACE = 'veth0';
let created = 0;

function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function within(namespace: Namespace, command: string, ...args: readonly string[]): string {
  return execFileSync('ip', ['netns', 'exec', namespace.name, command, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** A namespace with nothing but its own loopback interface, which is up. */
export function createNamespace(t: Teardown): Namespace {
  created++;
  const name = `procflow-${process.pid}-${created}`;
  ip('netns', 'add', name);
  t.teardown(() => {
    ip('netns', 'del', name);
  });
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return { name, path: `/run/netns/${name}` };
}

function describeSide(namespace: Namespace, number: number): Side {
  const [link] = JSON.parse(ip('-n', namespace.name, '-j', 'link', 'show', INTERFACE)) as [
    { address: string },
  ];
  return {
    ...namespace,
    interfaceName: INTERFACE,
    mac: link.address,
    ipv4: `10.99.0.${number}`,
    ipv6: `fd99::${number}`,
  };
}

function configure(side: Side): void {
  const conf = `net.ipv6.conf.${INTERFACE}`;
  within(side, 'sysctl', '-qw', `${conf}.accept_dad=0`, `${conf}.router_solicitations=0`);
  within(side, 'sysctl', '-qw', 'net.ipv4.ping_group_range=0 2147483647');
  ip('-n', side.name, 'addr', 'add', `${side.ipv4}/24`, 'dev', INTERFACE);
  ip('-n', side.name, 'addr', 'add', `${side.ipv6}/64`, 'dev', INTERFACE, 'nodad');
}

/** Settings as `sysctl -w` takes them, on both sides. */
export function setOnBoth(pair: NamespacePair, ...settings: readonly string[]): void {
  for (const side of [pair.a, pair.b]) within(side, 'sysctl', '-qw', ...settings);
}

/** Neighbours that need no ARP and no neighbour discovery. */
function introduce(side: Side, peer: Side): void {
  for (const address of [peer.ipv4, peer.ipv6]) {
    const entry = [address, 'lladdr', peer.mac, 'dev', INTERFACE, 'nud', 'permanent'];
    ip('-n', side.name, 'neigh', 'replace', ...entry);
  }
}

/** An address on the wire that nobody has; the side's interface is up. */
export function introduceStranger(
  side: Side,
  { ipv4, mac }: { readonly ipv4: string; readonly mac: string },
): void {
  const entry = [ipv4, 'lladdr', mac, 'dev', INTERFACE, 'nud', 'permanent'];
  ip('-n', side.name, 'neigh', 'replace', ...entry);
}

/** The pair is still down: a meter that is attached before bringUp() sees the very first frame. */
export function createNamespacePair(t: Teardown): NamespacePair {
  const [first, second] = [createNamespace(t), createNamespace(t)];
  const peer = ['type', 'veth', 'peer', 'name', INTERFACE, 'netns', second.name];
  ip('link', 'add', INTERFACE, 'netns', first.name, ...peer);
  const pair = { a: describeSide(first, 1), b: describeSide(second, 2) };
  configure(pair.a);
  configure(pair.b);
  return pair;
}

/** Also after the addresses were added while the links were down: neighbours need the link up. */
export function bringUp(pair: NamespacePair): void {
  for (const side of [pair.a, pair.b]) ip('-n', side.name, 'link', 'set', INTERFACE, 'up');
  introduce(pair.a, pair.b);
  introduce(pair.b, pair.a);
}

/** After this not even the kernel sends anything: the counters stand still. */
export function takeDown(pair: NamespacePair): void {
  for (const side of [pair.a, pair.b]) ip('-n', side.name, 'link', 'set', INTERFACE, 'down');
}

/** Segmentation offload off, checksums too: what the meter sees is what is on the wire. */
export function turnOffloadOff(pair: NamespacePair): void {
  const features = ['tso', 'gso', 'gro', 'tx', 'rx', 'txvlan', 'rxvlan'];
  const settings = features.flatMap((feature) => [feature, 'off']);
  for (const side of [pair.a, pair.b]) within(side, 'ethtool', '-K', INTERFACE, ...settings);
}

/** Whether the kernel has VLAN interfaces (8021q). */
export function kernelHasVlans(): boolean {
  return kernelHasLinks('link', 'lo', 'type', 'vlan', 'id', '7');
}

/** Whether the kernel has such interfaces; asked by making one and removing it again. */
export function kernelHasLinks(...link: readonly string[]): boolean {
  const name = `procflow-link-${process.pid}`;
  ip('netns', 'add', name);
  try {
    ip('-n', name, 'link', 'add', 'name', 'asked', ...link);
    return true;
  } catch (error) {
    if (String(error).includes('Unknown device type')) return false;
    throw error;
  } finally {
    ip('netns', 'del', name);
  }
}

/** A tagged sub-interface on both sides; the sides returned have its addresses. */
export function addVlan(pair: NamespacePair, id: number): NamespacePair {
  const name = `${INTERFACE}.${id}`;
  for (const side of [pair.a, pair.b]) {
    const type = ['type', 'vlan', 'id', String(id)];
    ip('-n', side.name, 'link', 'add', 'link', INTERFACE, 'name', name, ...type);
  }
  const configureVlan = (side: Side, number: number): Side => {
    within(side, 'sysctl', '-qw', `net.ipv6.conf.${name.replace('.', '/')}.accept_dad=0`);
    const tagged = { ...side, ipv4: `10.98.0.${number}`, ipv6: `fd98::${number}` };
    ip('-n', side.name, 'addr', 'add', `${tagged.ipv4}/24`, 'dev', name);
    ip('-n', side.name, 'addr', 'add', `${tagged.ipv6}/64`, 'dev', name, 'nodad');
    ip('-n', side.name, 'link', 'set', name, 'up');
    return { ...tagged, interfaceName: name };
  };
  return { a: configureVlan(pair.a, 1), b: configureVlan(pair.b, 2) };
}

/** What the interface itself counted since it was made; link-layer headers are in the octets. */
export function interfaceCounters(side: Pick<Side, 'name' | 'interfaceName'>): InterfaceCounters {
  const show = ip('-n', side.name, '-s', '-j', 'link', 'show', side.interfaceName);
  const [{ stats64 }] = JSON.parse(show) as [
    { stats64: Record<'rx' | 'tx', { packets: number; bytes: number; dropped: number }> },
  ];
  return {
    receivedPackets: stats64.rx.packets,
    receivedOctets: stats64.rx.bytes,
    sentPackets: stats64.tx.packets,
    sentOctets: stats64.tx.bytes,
    droppedPackets: stats64.tx.dropped,
  };
}

/** What the kernel counted of UDP in the namespace since it was made, by its names in /proc/net/snmp. */
export function datagrams(namespace: Namespace, counter: string): number {
  const lines = within(namespace, 'cat', '/proc/net/snmp').split('\n');
  const [names, values] = lines.filter((line) => line.startsWith('Udp: ')).map((l) => l.split(' '));
  return Number(values?.[names?.indexOf(counter) ?? -1]);
}

/** Whether a filter of ours is left on the interface. */
export function listFilters(side: Side): string {
  return ['ingress', 'egress']
    .map((hook) => within(side, 'tc', 'filter', 'show', 'dev', side.interfaceName, hook))
    .join('');
}

/** Queueing disciplines of the interface, in `tc`'s words. */
export function listQdiscs(side: Side): string {
  return within(side, 'tc', 'qdisc', 'show', 'dev', side.interfaceName);
}

/** Names in /proc/net/dev of this process: the interfaces of the caller's own namespace. */
export function ownInterfaces(): readonly string[] {
  const rows = readFileSync('/proc/net/dev', 'utf8').split('\n').slice(2);
  return rows.flatMap((row) => /^\s*(\S+):/.exec(row)?.[1] ?? []);
}
