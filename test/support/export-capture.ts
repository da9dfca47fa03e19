// The export datagrams as they pass loopback, and what tshark thinks of them.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freeUdpPort } from './nfcapd.js';
import { startProgram, type Teardown } from './program.js';

/** A process as tshark names it; 0 and '' where the record has none. */
export interface DecodedProcess {
  readonly pid: number;
  readonly name: string;
  readonly userName: string;
}

/** A Data Record as tshark decodes it. */
export interface DecodedFlow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly packets: number;
  readonly octets: number;
  readonly endReason: number;
  readonly sourceProcess: DecodedProcess;
  readonly destinationProcess: DecodedProcess;
}

export interface ExportCapture {
  readonly path: string;
  /** Ends the capture after everything sent so far has been written. */
  stop(): Promise<void>;
  /** Frames of which tshark says that they are malformed. */
  malformed(): number;
  /** Frames whose sequence number is not the one that tshark expects. */
  sequenceGaps(): number;
  /** Sets (templates and data) in the order in which they were sent. */
  setIds(): readonly number[];
  /** What tshark makes of a field, "cflow.protocol" for one, in all records that have it. */
  values(field: string): readonly string[];
  flows(): readonly DecodedFlow[];
}

const MARKER = 'procflow: end of capture';

interface Tree {
  readonly [key: string]: Tree | string | readonly string[] | undefined;
}

function isTree(value: Tree[string]): value is Tree {
  return typeof value === 'object' && !Array.isArray(value);
}

function text(record: Tree, ...fields: readonly string[]): string {
  for (const field of fields) {
    const value = record[`cflow.${field}`];
    if (typeof value === 'string') return value;
  }
  return '';
}

/** tshark puts a field that only some records have at one of two depths: look at both. */
function decodeFlow(record: Tree): DecodedFlow {
  const process = (side: 'src' | 'dst'): DecodedProcess => ({
    pid: Number(text(record, side === 'src' ? 'pie.ntop.src_proc_id' : 'pie.ntop.dst_proc_pid')),
    name: text(record, `pie.ntop.${side}_proc_name`),
    userName: text(record, `pie.ntop.${side}_proc_user_name`),
  });
  return {
    source: text(record, 'srcaddr', 'srcaddrv6'),
    destination: text(record, 'dstaddr', 'dstaddrv6'),
    sourcePort: Number(text(record, 'srcport')),
    destinationPort: Number(text(record, 'dstport')),
    protocol: Number(text(record, 'protocol')),
    packets: Number(text(record, 'packets', 'packets64')),
    octets: Number(text(record, 'octets', 'octets64')),
    endReason: Number(text(record, 'flow_end_reason')),
    sourceProcess: process('src'),
    destinationProcess: process('dst'),
  };
}

/** Every subtree that has octets in it is a flow record. */
function findFlows(tree: Tree, found: DecodedFlow[]): void {
  if (text(tree, 'octets', 'octets64') !== '') found.push(decodeFlow(tree));
  else for (const value of Object.values(tree)) if (isTree(value)) findFlows(value, found);
}

/** A datagram to a port that nobody reads: once it is in the file, so is all before it. */
async function sendMarker(port: number): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => {
    socket.send(MARKER, port, '127.0.0.1', () => socket.close(() => resolve()));
  });
}

async function awaitMarker(path: string): Promise<void> {
  for (let attempt = 0; attempt < 2000; attempt++) {
    if (readFileSync(path).includes(MARKER)) return;
    await delay(5);
  }
  throw new Error('the capture did not get as far as its end marker');
}

/** Captures what is sent to a port of loopback. */
export async function startExportCapture(t: Teardown, port: number): Promise<ExportCapture> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-capture-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, 'export.pcap');
  const markerPort = await freeUdpPort();
  const options = ['-i', 'lo', '-n', '-U', '--immediate-mode', '-B', '65536', '-Z', 'root'];
  const filter = `udp dst port ${port} or udp dst port ${markerPort}`;
  const capture = startProgram(t, 'tcpdump', [...options, '-w', path, filter]);
  await capture.line('err', /listening on/);

  const tshark = (...args: readonly string[]): string =>
    execFileSync('tshark', ['-r', path, '-d', `udp.port==${port},cflow`, ...args], {
      encoding: 'utf8',
      maxBuffer: 2 ** 30,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  const count = (filter: string): number =>
    tshark('-Y', filter, '-T', 'fields', '-e', 'frame.number').split('\n').filter(Boolean).length;
  const values = (field: string): string[] =>
    tshark('-Y', 'cflow', '-T', 'fields', '-e', field).split(/[\n,]/).filter(Boolean);
  return {
    path,
    async stop() {
      await sendMarker(markerPort);
      await awaitMarker(path);
      await capture.stop('SIGINT');
    },
    malformed: () => count('_ws.malformed'),
    sequenceGaps: () => count('cflow.sequence_analysis.expected_sn'),
    setIds: () => values('cflow.flowset_id').map(Number),
    values,
    flows: () => {
      const frames = JSON.parse(tshark('-Y', 'cflow', '-T', 'json', '-J', 'cflow')) as readonly {
        _source: { layers: Tree };
      }[];
      const found: DecodedFlow[] = [];
      for (const frame of frames) findFlows(frame._source.layers, found);
      return found;
    },
  };
}
