// What fills the cache and what runs past it: flows by the number, and packets at a rate.
import { join } from 'node:path';
import { startIn, type Place } from '../../test/support/generators.js';
import type { Side } from '../../test/support/network-namespace.js';
import type { Program, Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { NOBODY } from '../support/nobody.js';

const UDP_SENDER = join(PROJECT_ROOT, 'build/bench/generators/udp-sender');
const HEADER_OCTETS = 14 + 20 + 8;
const ENDLESS = 1_000_000_000;
const PORT = 7;

export interface NewFlows {
  readonly flows: number;
  /** Tells them apart from others. */
  readonly port: number;
  /** A second; default: as many as the machine gives. */
  readonly rate?: number;
}

/** Sends one packet in each of so many flows, at most 1,092,352. */
export async function makeFlows(
  t: Teardown,
  from: Side,
  { flows, port, rate }: NewFlows,
): Promise<void> {
  const octets = (address: string): string => address.split('.').join(',');
  const mac = NOBODY.mac.split(':').map((octet) => `0x${octet}`);
  // Counters with periods that have no divisor in common: all of them together repeat late.
  const source = '10, dinc(0,255,1), dinc(0,250,1), dinc(1,17,1)';
  const packet = [
    `{ ${mac.join(',')}, 2,0,0,0,0,0x23, c16(0x0800)`,
    `0x45, 0, c16(46), c16(0), c16(0x4000), 64, 17, csumip(14,33)`,
    `${source}, ${octets(NOBODY.ipv4)}`,
    `c16(${PORT}), c16(${port}), c16(26), c16(0), fill(0x42,18) }`,
  ].join(', ');
  const trafgen = startIn(
    t,
    { namespace: from },
    'trafgen',
    // Without --qdisc-path TC is bypassed; the others leave the machine's settings alone.
    ...['--qdisc-path', '--no-sock-mem', '--notouch-irq', '--out', from.interfaceName],
    ...['--cpus', '1', '--num', String(flows)],
    ...(rate === undefined ? [] : ['--rate', `${rate}pps`]),
    packet,
  );
  const { code } = await trafgen.ended;
  if (code !== 0) throw new Error(`trafgen failed: ${trafgen.err.join('\n')}`);
}

export interface Rate {
  /** Packets a second. */
  readonly rate: number;
  /** Of the whole Ethernet frame, without its checksum. */
  readonly frameOctets: number;
  readonly flows: number;
}

/** Goes on until it is ended. */
export function sendAtRate(t: Teardown, place: Place, { rate, frameOctets, flows }: Rate): Program {
  return startIn(
    t,
    place,
    UDP_SENDER,
    ...['--to', NOBODY.ipv4, '--port', String(PORT), '--size', String(frameOctets - HEADER_OCTETS)],
    ...['--sockets', String(flows), '--count', String(ENDLESS), '--rate', String(rate)],
  );
}
