// A host's day in a few seconds: long and short connections, single datagrams, servers, processes of a
// millisecond, and packets that no socket table shows. Each program tells its own process id.
import { setTimeout as delay } from 'node:timers/promises';
import {
  runGenerator,
  startGenerator,
  type GeneratorName,
  type Place,
} from '../../test/support/generators.js';
import type { NamespacePair } from '../../test/support/network-namespace.js';
import type { Report, Teardown } from '../../test/support/program.js';
import type { FiveTuple } from './wire-flows.js';

const MANY = 200;
const LONG_LIVED = 4;
const LONG_OCTETS = 5_000_000;
/** So long do the long-lived ones live at least: several intervals of polling. */
const LIFE_MS = 4000;
/** Of the servers: no client is given one of these (net.ipv4.ip_local_port_range). */
const FIRST_PORT = 7001;
const ICMP = 1;

export interface Stage {
  readonly t: Teardown;
  readonly pair: NamespacePair;
  /** The observed host. */
  readonly here: Place;
  readonly there: Place;
}

/** What one kind of program did. */
export interface Doing {
  readonly name: string;
  readonly isOf: (flow: FiveTuple) => boolean;
  /** Its process id; of one that ran under the flow's ports. */
  readonly isRight: (flow: FiveTuple, pid: number) => boolean;
}

/** @param port for its server */
type Kind = (stage: Stage, port: number) => Promise<Doing>;

/** Runs all kinds at once. */
export async function runMixedWorkload(stage: Stage): Promise<readonly Doing[]> {
  return Promise.all(KINDS.map((kind, i) => kind(stage, FIRST_PORT + i)));
}

/** @returns the arguments that lead to it */
async function serverThere(
  { t, there, pair }: Stage,
  kind: 'tcp-server' | 'udp-server',
  port: number,
  count: number,
): Promise<readonly (string | number)[]> {
  const server = startGenerator(t, there, kind, '--port', port, '--count', count);
  await server.report('ready');
  return ['--to', pair.b.ipv4, '--port', port];
}

function hasPort(flow: FiveTuple, port: number): boolean {
  return flow.sourcePort === port || flow.destinationPort === port;
}

/** Clients are told apart by their port; one that two had, one after the other, is of either. */
function clients(name: string, serverPort: number, reports: readonly Report[]): Doing {
  const pids = new Map<unknown, number[]>();
  for (const { port, pid } of reports) pids.set(port, [...(pids.get(port) ?? []), pid]);
  return {
    name,
    isOf: (flow) => hasPort(flow, serverPort),
    isRight: (flow, pid) => {
      const port = flow.sourcePort === serverPort ? flow.destinationPort : flow.sourcePort;
      return pids.get(port)?.includes(pid) === true;
    },
  };
}

/** One program after the other. */
function manyProcesses(
  name: string,
  generator: GeneratorName,
  server: 'tcp-server' | 'udp-server',
  ...options: readonly string[]
): Kind {
  return async (stage, port) => {
    const to = await serverThere(stage, server, port, MANY);
    const reports: Report[] = [];
    for (let i = 0; i < MANY; i++) {
      reports.push(await runGenerator(stage.t, stage.here, generator, ...to, ...options));
    }
    return clients(name, port, reports);
  };
}

const longConnections: Kind = async (stage, port) => {
  const to = await serverThere(stage, 'tcp-server', port, LONG_LIVED);
  const programs = Array.from({ length: LONG_LIVED }, () =>
    startGenerator(stage.t, stage.here, 'tcp-client', ...to, '--octets', LONG_OCTETS, '--wait'),
  );
  await Promise.all(programs.map((program) => program.report('ready')));
  await delay(LIFE_MS);
  for (const program of programs) program.write('\n');
  const reports = await Promise.all(programs.map((program) => program.report('done')));
  return clients('TCP, long-lived, 5 MB each', port, reports);
};

const longDatagrams: Kind = async (stage, port) => {
  const count = LIFE_MS / 2;
  const to = await serverThere(stage, 'udp-server', port, count);
  const options = ['--connected', '--wait', '--count', count, '--size', 1000];
  const client = startGenerator(stage.t, stage.here, 'udp-client', ...to, ...options);
  await client.report('ready');
  await delay(LIFE_MS);
  client.write('\n');
  return clients('UDP, long-lived', port, [await client.report('done')]);
};

const shortConnections: Kind = async (stage, port) => {
  const to = await serverThere(stage, 'tcp-server', port, MANY);
  const options = ['--octets', 3000, '--connections', MANY];
  const client = startGenerator(stage.t, stage.here, 'tcp-client', ...to, ...options);
  return clients('TCP, many short by one process', port, await client.success());
};

const server: Kind = async ({ t, pair, here, there }, port) => {
  const options = ['--port', port, '--count', MANY, '--echo', '--fork'];
  const program = startGenerator(t, here, 'tcp-server', ...options);
  await program.report('ready');
  const to = ['--to', pair.a.ipv4, '--port', port, '--octets', 3000, '--read-echo'];
  await runGenerator(t, there, 'tcp-client', ...to, '--connections', MANY);
  const reports = await program.success();
  const served = reports.filter(({ event }) => event === 'served');
  return clients(
    'TCP server, a child for each connection',
    port,
    served.map((report) => ({ ...report, port: report.peer_port })),
  );
};

const datagramServer: Kind = async ({ t, pair, here, there }, port) => {
  const options = ['--port', port, '--echo', '--count', MANY + 1];
  const program = startGenerator(t, here, 'udp-server', ...options);
  const ready = await program.report('ready');
  const to = ['--to', pair.a.ipv4, '--port', port, '--read-echo', '--flows'];
  await runGenerator(t, there, 'udp-client', ...to, MANY);
  // A server lives on: the polling shall see it.
  await delay(LIFE_MS);
  await runGenerator(t, there, 'udp-client', ...to, 1);
  return {
    name: 'UDP server, one socket, many peers',
    isOf: (flow) => hasPort(flow, port),
    isRight: (_flow, pid) => pid === ready.pid,
  };
};

const frames: Kind = async ({ t, pair, here }, port) => {
  const link = ['--interface', pair.a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', pair.a.ipv4, '--to', pair.b.ipv4, '--port', port];
  const amount = ['--count', 10 * MANY, '--flows', MANY];
  const report = await runGenerator(t, here, 'frame-sender', ...link, ...ends, ...amount);
  return {
    name: 'AF_PACKET sender',
    isOf: (flow) => flow.destinationPort === port,
    isRight: (_flow, pid) => pid === report.pid,
  };
};

const ping: Kind = async ({ t, pair, here }) => {
  const report = await runGenerator(t, here, 'icmp-echo', '--to', pair.b.ipv4, '--count', 5);
  return {
    name: 'ping',
    isOf: (flow) => flow.protocol === ICMP,
    isRight: (_flow, pid) => pid === report.pid,
  };
};

const KINDS: readonly Kind[] = [
  longConnections,
  longDatagrams,
  shortConnections,
  manyProcesses(
    'TCP, a process for each connection',
    'tcp-client',
    'tcp-server',
    '--octets',
    '3000',
  ),
  server,
  manyProcesses('UDP, a process for each datagram', 'udp-client', 'udp-server'),
  manyProcesses('UDP, a child on its parent’s socket', 'fork-and-send', 'udp-server', '--udp'),
  datagramServer,
  frames,
  ping,
];
