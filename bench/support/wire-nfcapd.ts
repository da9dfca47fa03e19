// nfcapd on loopback of a network namespace, and what it has in the end: flows, and whether its socket
// had no room for some.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startIn, type Place } from '../../test/support/generators.js';
import type { Teardown } from '../../test/support/program.js';
import { emptiedUdpReceiver } from '../../test/support/udp-receivers.js';

export const COLLECTOR_PORT = 9995;
/** The kernel gives what net.core.rmem_max allows. */
const QUEUE_OCTETS = 64 << 20;

export interface Collected {
  readonly records: number;
  /** Different ones, by addresses, ports and protocol. */
  readonly flows: number;
  readonly packets: number;
  readonly octets: number;
  /** Datagrams for which its socket had no room. */
  readonly drops: number;
}

export interface WireNfcapd {
  readonly pid: number;
  /** Waits until it has read all that came, ends it, and looks at what it wrote. */
  readonly stop: () => Promise<Collected>;
}

/** The namespace has nothing else on this port. */
export async function startWireNfcapd(t: Teardown, place: Place): Promise<WireNfcapd> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-nfcapd-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const listen = ['-b', '127.0.0.1', '-p', String(COLLECTOR_PORT), '-B', String(QUEUE_OCTETS)];
  const files = ['-w', directory, '-t', '3600', '-S', '0'];
  const program = startIn(t, place, 'nfcapd', ...listen, ...files);
  await emptiedUdpReceiver(COLLECTOR_PORT, program.pid);
  return {
    pid: program.pid,
    stop: async () => {
      const { drops } = await emptiedUdpReceiver(COLLECTOR_PORT, program.pid);
      await program.stop('SIGTERM');
      return { ...readTotals(directory), flows: countFlows(directory), drops };
    },
  };
}

function nfdump(directory: string, ...args: readonly string[]): string {
  return execFileSync('nfdump', ['-R', directory, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

function readTotals(directory: string): Pick<Collected, 'records' | 'packets' | 'octets'> {
  const text = nfdump(directory, '-I');
  const total = (label: string): number =>
    Number(new RegExp(`^${label}: (\\d+)$`, 'm').exec(text)?.[1] ?? NaN);
  return { records: total('Flows'), packets: total('Packets'), octets: total('Bytes') };
}

function countFlows(directory: string): number {
  return nfdump(directory, '-q', '-a', '-o', 'fmt:%pr').split('\n').filter(Boolean).length;
}
