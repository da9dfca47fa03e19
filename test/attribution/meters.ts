// procflow as it meters a stage, three times at once: `live --json` tells everything, NetFlow v9
// (attached by clsact) is read by nfdump and IPFIX by tshark. All give the same kind of record.
import { startIn } from '../support/generators.js';
import { startExportCapture } from '../support/export-capture.js';
import type { Namespace } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { PROCFLOW, startExport } from '../support/procflow.js';
import type { Program, Teardown } from '../support/program.js';

/** A process as a record names it; what the format does not carry is undefined. */
export interface NamedProcess {
  readonly name: string;
  readonly pid?: number;
  readonly startMs?: number;
  readonly uid?: number;
  readonly method?: string;
}

export interface ExportedFlow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly packets: number;
  readonly octets: number;
  readonly icmpType: number | undefined;
  readonly icmpId: number | undefined;
  /** null: this end is said to be elsewhere. */
  readonly sourceProcess: NamedProcess | null;
  readonly destinationProcess: NamedProcess | null;
}

export interface Meter {
  readonly name: 'live' | 'v9' | 'ipfix';
  /** Ends it and reads what it exported. */
  readonly stop: () => Promise<readonly ExportedFlow[]>;
  readonly program: Program;
}

/** Where procflow meters: at the interfaces of the metered host, or at the sockets of a cgroup. */
export const CAPTURES = ['interface', 'sockets'] as const;
export type Capture = (typeof CAPTURES)[number];

export interface MeterOptions {
  readonly capture: Capture;
  readonly namespace: Namespace;
  /** Interfaces of that namespace. */
  readonly interfaces: readonly string[];
  readonly cgroup: string;
  /** Addresses of the metered host, for formats that do not tell which end is there. */
  readonly isHere: (address: string) => boolean;
}

const ICMP = 1;
const ICMPV6 = 58;

function isIcmp(protocol: number): boolean {
  return protocol === ICMP || protocol === ICMPV6;
}

interface JsonProcess {
  readonly attribution: string;
  readonly processId?: number;
  readonly processName?: string;
  readonly userId?: number;
  readonly startMilliseconds?: number;
}

interface JsonFlow {
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly sourceTransportPort: number;
  readonly destinationTransportPort: number;
  readonly protocolIdentifier: number;
  readonly packetDeltaCount: number;
  readonly octetDeltaCount: number;
  readonly icmpTypeCode: number;
  readonly icmpIdentifier: number;
  readonly sourceProcess: JsonProcess | null;
  readonly destinationProcess: JsonProcess | null;
}

function readJsonProcess(process: JsonProcess | null): NamedProcess | null {
  if (process === null) return null;
  const { processId: pid, processName: name, startMilliseconds: startMs, attribution } = process;
  const { userId: uid } = process;
  return {
    name: name ?? '',
    pid: pid ?? 0,
    method: attribution,
    ...(startMs !== undefined && { startMs }),
    ...(uid !== undefined && { uid }),
  };
}

function readJsonFlow(line: string): ExportedFlow {
  const flow = JSON.parse(line) as JsonFlow;
  const icmp = isIcmp(flow.protocolIdentifier);
  return {
    source: flow.sourceAddress,
    destination: flow.destinationAddress,
    sourcePort: icmp ? 0 : flow.sourceTransportPort,
    destinationPort: icmp ? 0 : flow.destinationTransportPort,
    protocol: flow.protocolIdentifier,
    packets: flow.packetDeltaCount,
    octets: flow.octetDeltaCount,
    icmpType: icmp ? flow.icmpTypeCode >> 8 : undefined,
    icmpId: icmp ? flow.icmpIdentifier : undefined,
    sourceProcess: readJsonProcess(flow.sourceProcess),
    destinationProcess: readJsonProcess(flow.destinationProcess),
  };
}

/** The options of procflow that say what is metered, but for the cgroup. */
function captureOptions(options: MeterOptions, ...attach: readonly string[]): readonly string[] {
  if (options.capture === 'sockets') return ['--capture', 'sockets'];
  return options.interfaces.flatMap((name) => ['-i', name]).concat(attach);
}

/**
 * Short timeouts: flows leave the cache while their processes still talk. Started within the
 * metered namespace, where the others enter it themselves.
 */
async function startLive(t: Teardown, options: MeterOptions): Promise<Meter> {
  const where = [...captureOptions(options), '--cgroup', options.cgroup];
  const { namespace } = options;
  const timeouts = ['--idle-timeout', '1', '--active-timeout', '2'];
  const command = ['live', '--json', ...where, ...timeouts];
  const program = startIn(t, { namespace }, ...PROCFLOW, ...command);
  await program.line('err', /^procflow: metering/);
  const stop = async (): Promise<readonly ExportedFlow[]> => {
    const { code } = await program.stop();
    if (code !== 0) throw new Error(`live ended with ${code}: ${program.err.join('\n')}`);
    return program.out.map(readJsonFlow);
  };
  return { name: 'live', program, stop };
}

/** nfdump knows one name for a flow: the sender's where both ends are here. */
async function startV9(t: Teardown, options: MeterOptions): Promise<Meter> {
  const collector = await startNfcapd(t);
  const exporter = await startExport(t, {
    cgroup: options.cgroup,
    interfaces: [],
    version: 9,
    port: collector.port,
    ...(options.capture === 'interface' && { namespace: options.namespace }),
    options: captureOptions(options, '--attach', 'clsact'),
  });
  const stop = async (): Promise<readonly ExportedFlow[]> => {
    await exporter.stop();
    return (await collector.stop()).map((flow) => {
      const icmp = isIcmp(flow.protocol);
      const process = { name: flow.userName };
      const isSent = options.isHere(flow.source);
      return {
        ...flow,
        sourcePort: icmp ? 0 : flow.sourcePort,
        destinationPort: icmp ? 0 : flow.destinationPort,
        // nfdump prints type and code as "8.0"
        icmpType: icmp ? Math.trunc(flow.destinationPort) : undefined,
        icmpId: undefined,
        sourceProcess: isSent ? process : null,
        destinationProcess: isSent ? null : process,
      };
    });
  };
  return { name: 'v9', program: exporter.program, stop };
}

async function startIpfix(t: Teardown, options: MeterOptions): Promise<Meter> {
  const collector = await startNfcapd(t);
  const capture = await startExportCapture(t, collector.port);
  const exporter = await startExport(t, {
    cgroup: options.cgroup,
    interfaces: [],
    version: 10,
    port: collector.port,
    ...(options.capture === 'interface' && { namespace: options.namespace }),
    options: captureOptions(options),
  });
  const stop = async (): Promise<readonly ExportedFlow[]> => {
    await exporter.stop();
    await capture.stop();
    await collector.stop();
    return capture.flows().map((flow) => {
      const icmp = isIcmp(flow.protocol);
      const source = options.isHere(flow.source) || flow.sourceProcess.name !== '';
      const isLocal = options.isHere(flow.destination) || !source;
      return {
        ...flow,
        sourcePort: icmp ? 0 : flow.sourcePort,
        destinationPort: icmp ? 0 : flow.destinationPort,
        icmpType: icmp ? flow.destinationPort >> 8 : undefined,
        icmpId: undefined,
        sourceProcess: source ? flow.sourceProcess : null,
        destinationProcess:
          isLocal || flow.destinationProcess.name !== '' ? flow.destinationProcess : null,
      };
    });
  };
  return { name: 'ipfix', program: exporter.program, stop };
}

/** All of them at once: one run of the traffic feeds each. */
export async function startMeters(t: Teardown, options: MeterOptions): Promise<readonly Meter[]> {
  return Promise.all([startLive(t, options), startV9(t, options), startIpfix(t, options)]);
}
