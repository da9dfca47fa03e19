// procflow at the sockets of a cgroup of the test's own, never of the root: its flows as JSON.
import { statSync } from 'node:fs';
import { runGenerator, startGenerator, type Place } from './generators.js';
import type { Namespace } from './network-namespace.js';
import { startProcflow } from './procflow.js';
import type { Report, Teardown } from './program.js';

interface FlowProcess {
  readonly processId?: number;
  readonly processName?: string;
  readonly attribution: string;
}

/** What the tests read of a line of `live --json`. */
export interface CapturedFlow {
  readonly flowDirection: 'ingress' | 'egress';
  readonly networkNamespace: number;
  readonly interfaceIndex: number;
  readonly protocolIdentifier: number;
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly sourceTransportPort: number;
  readonly destinationTransportPort: number;
  readonly icmpTypeCode: number;
  readonly packetDeltaCount: number;
  readonly octetDeltaCount: number;
  readonly sourceProcess: FlowProcess | null;
  readonly destinationProcess: FlowProcess | null;
}

export interface LiveCapture {
  /** Ends it. */
  readonly stop: () => Promise<readonly CapturedFlow[]>;
}

async function startLive(t: Teardown, args: readonly string[]): Promise<LiveCapture> {
  const live = startProcflow(t, ['live', '--json', ...args]);
  await live.line('err', /metering/);
  return {
    stop: async () => {
      await live.stop();
      return live.out.map((line) => JSON.parse(line) as CapturedFlow);
    },
  };
}

/** @param timeoutS after which a flow is a record; default: when the capture ends */
export function captureAtSockets(
  t: Teardown,
  cgroup: string,
  timeoutS = 600,
): Promise<LiveCapture> {
  return startLive(t, [...timeouts(timeoutS), '--capture', 'sockets', '--cgroup', cgroup]);
}

function timeouts(seconds: number): string[] {
  return ['--active-timeout', String(seconds), '--idle-timeout', String(seconds)];
}

export function captureAtInterface(
  t: Teardown,
  place: Required<Place>,
  name: string,
): Promise<LiveCapture> {
  const { namespace, cgroup } = place;
  const where = ['-i', name, '--netns', namespace.name, '--cgroup', cgroup];
  return startLive(t, [...timeouts(600), ...where]);
}

/** As lsns and the flow's record know it. */
export function inodeOf(namespace: Namespace): number {
  return statSync(namespace.path).ino;
}

export interface Conversation {
  readonly client: Report;
  readonly server: Report;
}

/** A server that echoes, and a client that reads the echo: both close in good order. */
export async function converse(
  t: Teardown,
  kind: 'tcp' | 'udp',
  [from, to]: readonly [Place, Place],
  address: string,
  options: {
    readonly server?: readonly (string | number)[];
    readonly client?: readonly (string | number)[];
  } = {},
): Promise<Conversation> {
  const any = address.includes(':') ? '::' : '0.0.0.0';
  const role = ['--echo', '--address', any, ...(options.server ?? [])];
  const server = startGenerator(t, to, `${kind}-server`, ...role);
  const ready = await server.report('ready');
  const where = ['--to', address, '--port', Number(ready.port), '--read-echo'];
  const client = await runGenerator(t, from, `${kind}-client`, ...where, ...(options.client ?? []));
  await server.success();
  return { client, server: ready };
}

export function sumCaptured(flows: readonly CapturedFlow[]): { packets: number; octets: number } {
  const count = { packets: 0, octets: 0 };
  for (const flow of flows) {
    count.packets += flow.packetDeltaCount;
    count.octets += flow.octetDeltaCount;
  }
  return count;
}
