// procflow and the two that are compared with it, on one interface, each with the buffers that its manual
// offers. All send NetFlow v9 to nfcapd in the same namespace.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startIn, type Place } from '../../test/support/generators.js';
import { NODE, PROCFLOW, readSummary, type Summary } from '../../test/support/procflow.js';
import type { Program, Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { childrenOf } from '../support/resources.js';
import { COLLECTOR_PORT } from '../support/wire-nfcapd.js';

const EMPTY_HOOKS = join(PROJECT_ROOT, 'build/bench/empty-twin/empty-hooks.js');
const CAPTURE_BUFFER_OCTETS = 64 << 20;
const COLLECTOR = `127.0.0.1:${COLLECTOR_PORT}`;

export interface MeteredTraffic {
  /** By the exporter's own count. */
  readonly packets: number;
  /** procflow's. */
  readonly summary?: Summary;
}

export interface RunningExporter {
  readonly pids: readonly number[];
  /** Every flow is exported, then it ends. */
  readonly stop: () => Promise<MeteredTraffic>;
}

export interface ExporterStage {
  readonly t: Teardown;
  readonly place: Required<Place>;
  readonly interfaceName: string;
  /** For which it has room; default: its own. */
  readonly maxFlows?: number | undefined;
  /** Further options of procflow. */
  readonly options?: readonly string[];
}

/** Each resolves once packets are metered. */
export const EXPORTERS = { procflow, softflowd, pmacctd } as const;
export type ExporterName = keyof typeof EXPORTERS;

function procflow(stage: ExporterStage): Promise<RunningExporter> {
  const { t, place, interfaceName, maxFlows, options = [] } = stage;
  const what = ['-i', interfaceName, ...given('--max-flows', maxFlows), ...options];
  return startProcflow(t, place, what);
}

/** @param what is metered, and how */
export async function startProcflow(
  t: Teardown,
  place: Required<Place>,
  what: readonly string[],
): Promise<RunningExporter> {
  const [command, ...before] = PROCFLOW;
  const where = ['-n', COLLECTOR, '--cgroup', place.cgroup];
  const program = startIn(t, place, command, ...before, 'export', ...where, ...what);
  await program.line('err', /^procflow: metering/);
  return {
    pids: [program.pid],
    stop: async () => {
      const end = await endOf(program, 'SIGTERM');
      const summary = readSummary(end, program.err);
      return { packets: summary.counter('METERED_PACKETS'), summary };
    },
  };
}

/**
 * In the place of procflow, programs with nothing in them at the same hooks.
 * @param interfaceName default: at the sockets of the place's cgroup
 */
export async function startEmptyHooks(
  t: Teardown,
  place: Required<Place>,
  interfaceName?: string,
): Promise<Program> {
  const [command, ...before] = NODE;
  const where = interfaceName === undefined ? [] : [interfaceName];
  const program = startIn(t, place, command, ...before, EMPTY_HOOKS, place.cgroup, ...where);
  await program.line('out', /^attached$/);
  return program;
}

function given(option: string, value: number | undefined): string[] {
  return value === undefined ? [] : [option, String(value)];
}

/** However long it takes. */
function endOf(program: Program, signal: NodeJS.Signals): Program['ended'] {
  process.kill(program.pid, signal);
  return program.ended;
}

async function softflowd(stage: ExporterStage): Promise<RunningExporter> {
  const { t, place, interfaceName, maxFlows } = stage;
  const directory = temporaryDirectory(t);
  const control = join(directory, 'control');
  const program = startIn(
    t,
    place,
    'softflowd',
    ...['-d', '-i', interfaceName, '-n', COLLECTOR, '-v', '9'],
    ...given('-m', maxFlows),
    ...['-B', String(CAPTURE_BUFFER_OCTETS), '-c', control, '-p', join(directory, 'pid')],
  );
  await program.line('err', /Exporting flows/);
  const ask = (word: string): string =>
    execFileSync('softflowctl', ['-c', control, word], { encoding: 'utf8' });
  return {
    pids: [program.pid],
    stop: async () => {
      const packets = Number(/Packets processed: (\d+)/.exec(ask('statistics'))?.[1] ?? NaN);
      ask('shutdown');
      await program.ended;
      return { packets };
    },
  };
}

async function pmacctd(stage: ExporterStage): Promise<RunningExporter> {
  const { t, place, interfaceName, maxFlows } = stage;
  const path = join(temporaryDirectory(t), 'pmacctd.conf');
  const settings = {
    pcap_interface: interfaceName,
    daemonize: 'false',
    aggregate: 'src_host, dst_host, src_port, dst_port, proto, tos',
    plugins: 'nfprobe',
    nfprobe_receiver: COLLECTOR,
    nfprobe_version: 9,
    ...(maxFlows !== undefined && { nfprobe_maxflows: maxFlows }),
    snaplen: 128,
    plugin_pipe_size: 256 << 20,
    plugin_buffer_size: 1 << 20,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key}: ${value}\n`);
  writeFileSync(path, lines.join(''));
  const program = startIn(t, place, 'pmacctd', '-f', path);
  await program.line('err', /Exporting flows to/);
  return {
    pids: [program.pid, ...childrenOf(program.pid)],
    stop: async () => {
      process.kill(program.pid, 'SIGUSR1');
      const line = await program.line('err', /received_packets/);
      await endOf(program, 'SIGTERM');
      return { packets: readPmacctdPackets(line) };
    },
  };
}

/** What libpcap handed over; its plugin may still lose some. */
function readPmacctdPackets(line: string): number {
  const [, received, dropped] = /received_packets=(\d+) dropped_packets=(\d+)/.exec(line) ?? [];
  return Number(received) - Number(dropped);
}

function temporaryDirectory(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-bench-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}
