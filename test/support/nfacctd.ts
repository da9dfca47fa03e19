// pmacct's nfacctd on a free loopback port, and the flows that it prints. As measured on 1.7.7:
//  - It reads v5, v9 and IPFIX, over UDP only: no TCP, and Debian builds it without DTLS. v1 is an
//    "unknown packet" to it.
//  - Times of IPFIX are exact to the millisecond. In v5 and v9 it knows whole seconds only: from the
//    header's seconds it takes the age of the event, cut to seconds, so that a time is up to a second
//    late in v9; in v5 it leaves out the header's nanoseconds too.
//  - Sequence numbers are counted as the RFCs have it (IPFIX: options data too). A gap is a line of
//    INFO, "expecting flow '5' but received '9'", a set without template one of DEBUG.
//    After sequence number 0 it begins anew: a gap right behind it goes unnoticed.
//  - A record is not kept apart from another one with the same keys: `flows` counts them.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freeUdpPort } from './nfcapd.js';
import { startProgram, type Teardown } from './program.js';
import { PROJECT_ROOT } from './requirements.js';
import { idleUdpReceiver } from './udp-receivers.js';

export const NFACCTD_CONTRIB = join(PROJECT_ROOT, 'contrib/nfacctd');

/** A line of nfacctd's JSON. Primitives that are defined in a file are strings, numbers too. */
export type NfacctdRow = Readonly<Record<string, string | number>>;

/** A row of the configuration that writeConfiguration() writes. */
export interface NfacctdFlow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  /** Of ICMP, type and code. */
  readonly destinationPort: number;
  readonly protocol: number;
  readonly tos: number;
  readonly tcpFlags: number;
  readonly ingressInterface: number;
  readonly egressInterface: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly version: number;
  /** Of v5, engine type and id. */
  readonly observationDomainId: number;
  readonly samplingInterval: number;
  /** Records that are summed up in this one; all else in its keys is the same. */
  readonly flows: number;
  readonly packets: number;
  readonly octets: number;
  readonly sourceProcess: NfacctdProcess;
  readonly destinationProcess: NfacctdProcess;
}

/** 0 and '' where the record has none. */
export interface NfacctdProcess {
  readonly pid: number;
  readonly name: string;
  readonly userName: string;
}

export interface NfacctdOptions {
  /** Of the process elements, which are numbered otherwise in v9. */
  readonly version: 5 | 9 | 10;
  /** Another configuration, in the directory that its own paths are relative to. */
  readonly contributed?: string;
}

export interface Nfacctd {
  readonly port: number;
  /** Waits until it prints by itself a flow that has this value. */
  printed(key: string, value: number): Promise<NfacctdRow>;
  /** Waits until it has read everything, ends it, and returns what it printed. */
  stop(): Promise<readonly NfacctdRow[]>;
  /** What it found wrong: gaps, sets without template, malformed messages, losses of its own. */
  complaints(): readonly string[];
}

const KEYS = [
  ...['src_host', 'dst_host', 'src_port', 'dst_port', 'proto', 'tos', 'tcpflags'],
  ...['in_iface', 'out_iface', 'timestamp_start', 'timestamp_end', 'sampling_rate'],
  ...['export_proto_version', 'export_proto_sysid', 'flows'],
] as const;
const PROCESS_KEYS = ['src', 'dst'].flatMap((side) =>
  ['id', 'name', 'user_name'].map((part) => `${side}_process_${part}`),
);
export const NFACCTD_PRIMITIVES = { 9: 'primitives-netflow9.lst', 10: 'primitives.lst' } as const;

const COMPLAINTS =
  /^(WARN|ERROR)|expecting flow|unknown template|discard|malformed|unable to read|Overflow|Missing data/i;

/** Everything is printed at the end, in one piece: refreshes would write between each other. */
function writeConfiguration(directory: string, version: NfacctdOptions['version']): string {
  const path = join(directory, 'nfacctd.conf');
  const primitives = version === 5 ? undefined : join(NFACCTD_CONTRIB, NFACCTD_PRIMITIVES[version]);
  const keys = primitives === undefined ? KEYS : [...KEYS, ...PROCESS_KEYS];
  const lines = [
    'plugins: print',
    'print_output: json',
    'print_num_protos: true',
    'print_refresh_time: 3600',
    // The usual 64 MiB take the plugin seconds on a busy machine, in which it takes no records.
    'print_cache_entries: 1021',
    `print_output_lock_file: ${join(directory, 'lock')}`,
    'timestamps_since_epoch: true',
    `aggregate: ${keys.join(', ')}`,
    ...(primitives === undefined ? [] : [`aggregate_primitives: ${primitives}`]),
    'nfacctd_disable_checks: false',
    'debug: true',
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

export async function startNfacctd(t: Teardown, options: NfacctdOptions): Promise<Nfacctd> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-nfacctd-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const { version, contributed } = options;
  const configuration = contributed ?? writeConfiguration(directory, version);
  const port = await freeUdpPort();
  const where = ['-C', contributed === undefined ? directory : NFACCTD_CONTRIB];
  const listen = ['-f', configuration, '-L', '127.0.0.1', '-l', String(port)];
  const program = startProgram(t, 'env', [...where, 'nfacctd', ...listen]);
  t.teardown(async () => {
    // The plugin is another process, which would survive a SIGKILL of this one.
    if (!program.hasEnded) await program.stop('SIGINT');
  });
  await program.line('err', /waiting for NetFlow\/IPFIX data/);
  // A signal that comes earlier would kill the plugin.
  await program.line('err', /setting object handlers/);
  return {
    port,
    complaints: () => program.err.filter((line) => COMPLAINTS.test(line)),
    async printed(key, value) {
      const line = await program.line('out', new RegExp(`"${key}": ${value}\\b`));
      return JSON.parse(line) as NfacctdRow;
    },
    async stop() {
      await idleUdpReceiver(port, program.pid);
      await program.stop('SIGINT');
      return program.out
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as NfacctdRow);
    },
  };
}

function processOf(row: NfacctdRow, side: 'src' | 'dst'): NfacctdProcess {
  return {
    pid: Number(row[`${side}_process_id`] ?? 0),
    name: String(row[`${side}_process_name`] ?? ''),
    userName: String(row[`${side}_process_user_name`] ?? ''),
  };
}

/** Seconds since 1970 with six decimals. */
function milliseconds(time: string | number | undefined): number {
  return Math.round(Number(time) * 1000);
}

export function toNfacctdFlow(row: NfacctdRow): NfacctdFlow {
  const number = (key: string): number => Number(row[key]);
  return {
    source: String(row.ip_src),
    destination: String(row.ip_dst),
    sourcePort: number('port_src'),
    destinationPort: number('port_dst'),
    protocol: number('ip_proto'),
    tos: number('tos'),
    tcpFlags: number('tcp_flags'),
    ingressInterface: number('iface_in'),
    egressInterface: number('iface_out'),
    startMs: milliseconds(row.timestamp_start),
    endMs: milliseconds(row.timestamp_end),
    version: number('export_proto_version'),
    observationDomainId: number('export_proto_sysid'),
    samplingInterval: number('sampling_rate'),
    flows: number('flows'),
    packets: number('packets'),
    octets: number('bytes'),
    sourceProcess: processOf(row, 'src'),
    destinationProcess: processOf(row, 'dst'),
  };
}
