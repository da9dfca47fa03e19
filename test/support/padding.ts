// How many octets pad the Ethernet frames of a capture, by flow: softflowd counts them.
import { execFileSync } from 'node:child_process';

const FIELDS = [
  ...['ip.proto', 'ip.src', 'tcp.srcport', 'udp.srcport', 'ip.dst', 'tcp.dstport', 'udp.dstport'],
  ...['ip.len', 'frame.len'],
];
const ETHERNET_OCTETS = 14;

/** By "6 192.0.2.1:80 > 192.0.2.2:4444"; of untagged IPv4 packets without a quoted packet in them. */
export function paddingOctets(path: string): ReadonlyMap<string, number> {
  const fields = FIELDS.flatMap((field) => ['-e', field]);
  const shown = ['-Y', 'eth && ip && !vlan && !icmp', '-T', 'fields', '-E', 'separator=;'];
  const out = execFileSync('tshark', ['-n', '-r', path, ...shown, ...fields], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const sums = new Map<string, number>();
  for (const line of out.split('\n').filter((line) => line !== '')) {
    const [protocol, source, tcpSource, udpSource, ...rest] = line.split(';');
    const [destination, tcpDestination, udpDestination, octets, frame] = rest;
    // What a packet does not have is empty, and adding it up leaves what it has.
    const sourcePort = Number(tcpSource) + Number(udpSource);
    const destinationPort = Number(tcpDestination) + Number(udpDestination);
    const key = `${protocol} ${source}:${sourcePort} > ${destination}:${destinationPort}`;
    const padding = Number(frame) - ETHERNET_OCTETS - Number(octets);
    sums.set(key, (sums.get(key) ?? 0) + padding);
  }
  return sums;
}
