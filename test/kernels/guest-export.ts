// Traffic over a guest's loopback, metered and exported to nfcapd: every packet, with its process.
import { join } from 'node:path';
import { GENERATORS, nameProgram } from '../support/generators.js';
import { startNfcapd } from '../support/nfcapd.js';
import {
  asUser,
  NEEDED_CAPABILITIES,
  NOBODY,
  reachableProcflow,
  type UserIds,
} from '../support/ordinary-user.js';
import { PROCFLOW } from '../support/procflow.js';
import { startProgram, type Program, type Teardown } from '../support/program.js';

export interface ExportRun {
  readonly name: string;
  /** Of procflow export, beside the collector. */
  readonly options: readonly string[];
  /** With the three capabilities; default: root. */
  readonly as?: UserIds;
}

export const EXPORT_RUNS: readonly ExportRun[] = [
  { name: 'export at interfaces', options: ['-i', 'lo'] },
  { name: 'export at interfaces by clsact', options: ['-i', 'lo', '--attach', 'clsact'] },
  { name: 'export at sockets', options: ['--capture', 'sockets'] },
  { name: 'export as an ordinary user', options: ['-i', 'lo'], as: NOBODY },
];

const PACKETS = 23;
const CLIENT = 'guest-client';

/** @returns what is wrong, or '' */
export async function exportToCollector(t: Teardown, run: ExportRun): Promise<string> {
  const { options, as } = run;
  const collector = await startNfcapd(t);
  const to = ['-n', `127.0.0.1:${collector.port}`, '-v', '9'];
  const program =
    as === undefined ? PROCFLOW : [...asUser(as, NEEDED_CAPABILITIES), ...reachableProcflow(t, as)];
  const [command = '', ...args] = [...program, 'export', ...options, ...to];
  const exporter = startProgram(t, command, args);
  await exporter.line('err', /^procflow: metering/);

  const port = await talk(t);
  await exporter.stop();
  const flows = await collector.stop();
  const found = flows.filter(({ destinationPort }) => destinationPort === port);
  const said = found.map(({ packets, userName }) => `${packets} of ${userName}`).join(', ');
  const wanted = `${PACKETS} of ${CLIENT}`;
  return said === wanted ? '' : `nfdump has "${said}" and not "${wanted}"`;
}

/** @returns the port to which the datagrams went */
async function talk(t: Teardown): Promise<number> {
  const count = ['--count', String(PACKETS)];
  const server: Program = startProgram(t, join(GENERATORS, 'udp-server'), [
    ...count,
    ...['--address', '127.0.0.1'],
  ]);
  const { port } = await server.report('ready');
  const client = nameProgram(t, join(GENERATORS, 'udp-client'), CLIENT);
  await startProgram(t, client, ['--to', '127.0.0.1', '--port', String(port), ...count]).success();
  await server.success();
  return Number(port);
}
