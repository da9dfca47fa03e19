// The collectors of the soak, each of which is ended and started again many times: a decoder of our own
// over TCP, which is killed, and nfcapd over UDP, which loses what it has not written when it is killed.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freeUdpPort, startNfcapd, type Nfcapd } from '../support/nfcapd.js';
import { NODE } from '../support/procflow.js';
import { startProgram, type Program, type Teardown } from '../support/program.js';
import { PROJECT_ROOT } from '../support/requirements.js';
import { idleTcpReceiver } from '../support/tcp-receivers.js';
import { sumReceived, type Received, type Sums } from './received.js';

const PROGRAM = join(PROJECT_ROOT, 'build/test/soak/tcp-collector.js');

export interface SoakCollector {
  readonly port: number;
  /** How often it was started. */
  readonly starts: () => number;
  /** Waits until it has worked on all that was sent, and ends it. Nothing may be sent meanwhile. */
  readonly end: () => Promise<void>;
  readonly start: () => Promise<void>;
}

export interface TcpCollector extends SoakCollector {
  /** Of all its runs. */
  readonly received: () => Received;
}

export async function startTcpCollector(t: Teardown): Promise<TcpCollector> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-soak-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const files: string[] = [];
  let port = 0;
  let program: Program;
  const start = async (): Promise<void> => {
    const file = join(directory, String(files.length));
    files.push(file);
    const [command, ...before] = NODE;
    program = startProgram(t, command, [...before, PROGRAM, String(port), file]);
    port = Number((await program.line('out', /listening on/)).split(' ').at(-1));
  };
  await start();
  return {
    port,
    starts: () => files.length,
    start,
    end: async () => {
      await idleTcpReceiver(port, program.pid);
      await program.stop('SIGKILL');
    },
    received: () =>
      sumReceived(files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Received)),
  };
}

export interface UdpCollector extends SoakCollector {
  /** Of all its runs that have ended. */
  readonly totals: () => Sums & { readonly records: number; readonly sequenceErrors: number };
}

export async function startUdpCollector(t: Teardown): Promise<UdpCollector> {
  const port = await freeUdpPort();
  const sums = { records: 0, packets: 0, octets: 0, sequenceErrors: 0 };
  let nfcapd: Nfcapd;
  let starts = 0;
  const start = async (): Promise<void> => {
    starts++;
    nfcapd = await startNfcapd(t, port);
  };
  await start();
  return {
    port,
    starts: () => starts,
    start,
    end: async () => {
      await nfcapd.end();
      const totals = nfcapd.totals();
      sums.records += totals.flows;
      sums.packets += totals.packets;
      sums.octets += totals.octets;
      sums.sequenceErrors += totals.sequenceErrors;
    },
    totals: () => ({ ...sums }),
  };
}
