// nfcapd on a free loopback port, and what nfdump reads out of its files.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startProgram, type Teardown } from './program.js';
import { idleUdpReceiver } from './udp-receivers.js';

/** A flow as nfdump prints it. */
export interface NfdumpFlow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly packets: number;
  readonly octets: number;
  readonly userName: string;
}

export interface NfcapdTotals {
  readonly flows: number;
  readonly packets: number;
  readonly octets: number;
  readonly sequenceErrors: number;
  readonly badPackets: number;
}

export interface Nfcapd {
  readonly port: number;
  readonly pid: number;
  /** Ends nfcapd, which closes its file, and reads all of it. */
  stop(): Promise<readonly NfdumpFlow[]>;
  /** The same, when all that came has been worked on, without reading it. */
  end(): Promise<void>;
  /** What nfdump prints with these arguments; after stop() only. */
  nfdump(...args: readonly string[]): string;
  /** What nfcapd counted itself; after stop() only. */
  totals(): NfcapdTotals;
  /** What it said beyond what it always says; after stop() only. */
  complaints(): readonly string[];
}

/** A UDP port of loopback that is free now. */
export async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** Octets that wait in the queue of the port's socket on 127.0.0.1; undefined without a socket. */
function queuedOctets(port: number): number | undefined {
  // "address:port peer state tx_queue:rx_queue", all in hexadecimal: see proc(5)
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const entry = new RegExp(` ${local} \\S+ \\S+ [0-9A-F]+:([0-9A-F]+)`);
  const queued = entry.exec(readFileSync('/proc/net/udp', 'utf8'))?.[1];
  return queued === undefined ? undefined : parseInt(queued, 16);
}

function toFlow(line: string): NfdumpFlow {
  const [source, destination, sourcePort, destinationPort, protocol, packets, octets, userName] =
    line.split(';').map((part) => part.trim());
  return {
    source: source ?? '',
    destination: destination ?? '',
    sourcePort: Number(sourcePort),
    // nfdump prints an ICMP type and code as "8.0" in the place of the port
    destinationPort: Number(destinationPort),
    protocol: Number(protocol),
    packets: Number(packets),
    octets: Number(octets),
    userName: userName ?? '',
  };
}

/** nfcapd prints one such line for each exporter and domain when it ends. */
const TOTALS =
  /Flows: (\d+), Packets: (\d+), Bytes: (\d+), Sequence Errors: (\d+), Bad Packets: (\d+)/;

/** @param lines of nfcapd's standard error */
export function sumTotals(lines: readonly string[]): NfcapdTotals {
  const sums = [0, 0, 0, 0, 0];
  for (const line of lines) {
    TOTALS.exec(line)
      ?.slice(1)
      .forEach((value, i) => (sums[i] = (sums[i] ?? 0) + Number(value)));
  }
  const [flows = 0, packets = 0, octets = 0, sequenceErrors = 0, badPackets = 0] = sums;
  return { flows, packets, octets, sequenceErrors, badPackets };
}

/** What it says of itself, of exporters that it meets, and when it ends. */
const ORDINARY =
  /^(Startup|Terminating) nfcapd\.$|^(Add flow source|Bound to|(Standard|System) set|Init |Process_\w+: New|Add new sampler|Ident: |Total ignored packets: 0$)/;

const FORMAT = 'fmt:%sa;%da;%sp;%dp;%pr;%pkt;%byt;%uname';
const PLAIN = ['-q', '-N', '-6'];

/** @param wanted port, where a certain one is to be had */
export async function startNfcapd(t: Teardown, wanted?: number): Promise<Nfcapd> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-nfcapd-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const port = wanted ?? (await freeUdpPort());
  const listen = ['-b', '127.0.0.1', '-p', String(port), '-B', '8388608'];
  const files = ['-w', directory, '-t', '3600', '-S', '0'];
  const program = startProgram(t, 'nfcapd', [...listen, ...files]);
  const awaitQueue = async (): Promise<void> => {
    for (let attempt = 0; queuedOctets(port) !== 0; attempt++) {
      if (program.hasEnded || attempt === 2000) {
        throw new Error(`nfcapd does not receive: ${program.err.join('\n')}`);
      }
      await delay(5);
    }
  };
  await awaitQueue();

  const nfdump = (...args: readonly string[]): string =>
    execFileSync('nfdump', ['-R', directory, ...args], {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  return {
    port,
    pid: program.pid,
    nfdump,
    totals: () => sumTotals(program.err),
    complaints: () =>
      [...program.out, ...program.err].filter((line) => line !== '' && !ORDINARY.test(line)),
    async end() {
      await idleUdpReceiver(port, program.pid);
      await program.stop('SIGTERM');
    },
    async stop() {
      await awaitQueue(); // at SIGTERM it would leave unread what it has not read
      await program.stop('SIGTERM');
      const lines = nfdump(...PLAIN, '-o', FORMAT).split('\n');
      return lines.filter((line) => line.includes(';')).map(toFlow);
    },
  };
}
