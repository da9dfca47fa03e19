// trafgen of netsniff-ng: as many datagrams as a CPU gives, through a queueing discipline and TC.
import { startIn, type Place } from '../../test/support/generators.js';
import type { Program, Teardown } from '../../test/support/program.js';

export interface TrafgenOptions {
  readonly interfaceName: string;
  readonly packets: number;
  readonly cpus: number;
  /** Packets a second; 0: as many as the machine gives. */
  readonly rate?: number;
  /** The same seed gives the same packets. */
  readonly seed?: number;
  /** Past the queueing discipline, and with it past what looks at packets on their way out. */
  readonly bypassesQdisc?: boolean;
}

/** In trafgen's language: octets with commas between, or a function that makes some. */
export interface DatagramText {
  readonly destinationMac: string;
  readonly source: string;
  readonly sourcePort: string;
  readonly destination: string;
  readonly destinationPort: number;
  readonly payloadOctets: number;
}

/** Ethernet, IPv4, UDP. */
export const DATAGRAM_HEADER_OCTETS = 14 + 20 + 8;

export function datagramText(datagram: DatagramText): string {
  const { source, destination, sourcePort, destinationPort, payloadOctets } = datagram;
  const macOctets = datagram.destinationMac
    .split(':')
    .map((octet) => `0x${octet}`)
    .join(',');
  return [
    `{ ${macOctets}, 2,0,0,0,0,0x23, c16(0x0800)`,
    `0x45, 0, c16(${28 + payloadOctets}), c16(0), c16(0x4000), 64, 17, csumip(14,33)`,
    `${source}, ${destination}`,
    `${sourcePort}, c16(${destinationPort}), c16(${8 + payloadOctets}), c16(0)`,
    `fill(0x42,${payloadOctets}) }`,
  ].join(', ');
}

export function addressText(ipv4: string): string {
  return ipv4.split('.').join(',');
}

export function startTrafgen(
  t: Teardown,
  place: Place,
  options: TrafgenOptions,
  packet: string,
): Program {
  const { interfaceName, packets, cpus, rate = 0, seed, bypassesQdisc = false } = options;
  return startIn(
    t,
    place,
    'trafgen',
    // Without --qdisc-path the queueing discipline is bypassed, and TC with it; the next two leave
    // the machine's settings alone.
    ...(bypassesQdisc ? [] : ['--qdisc-path']),
    ...['--no-sock-mem', '--notouch-irq', '--out', interfaceName],
    ...['--cpus', String(cpus), '--num', String(packets)],
    ...(rate > 0 ? ['--rate', `${rate}pps`] : []),
    ...(seed === undefined ? [] : ['--seed', String(seed)]),
    packet,
  );
}

/** However long it takes. */
export async function trafgenEnd(trafgen: Program): Promise<void> {
  const { code } = await trafgen.ended;
  if (code !== 0) throw new Error(`trafgen failed: ${trafgen.err.join('\n')}`);
}
