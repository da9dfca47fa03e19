// One program's datagrams, metered in a network namespace and exported to a collector: who it was.
import { runGenerator, startGenerator } from './generators.js';
import { bringUp, createNamespacePair, takeDown } from './network-namespace.js';
import { startExport, type Summary } from './procflow.js';
import type { Teardown } from './program.js';
import { createCgroup } from './test-cgroup.js';

const DATAGRAMS = 5;
const PAYLOAD_OCTETS = 72;
const HEADER_OCTETS = 28;

export interface ExportedProgram {
  readonly name: string;
  readonly pid: number;
  /** Where its datagrams left. */
  readonly interfaceName: string;
  /** The port that it sent to. */
  readonly port: number;
  /** Of its flow. */
  readonly packets: number;
  readonly octets: number;
  readonly summary: Summary;
}

/** Resolves when procflow has sent all and ended. */
export async function exportProgram(
  t: Teardown,
  collector: { readonly version: 9 | 10; readonly port: number; readonly options?: string[] },
): Promise<ExportedProgram> {
  const name = 'browser';
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  const exporter = await startExport(t, {
    ...collector,
    namespace: pair.a,
    interfaces: [pair.a.interfaceName],
    cgroup,
  });
  bringUp(pair);
  const server = startGenerator(
    t,
    { namespace: pair.b, cgroup },
    'udp-server',
    '--count',
    DATAGRAMS,
  );
  const port = Number((await server.report('ready')).port);
  const to = ['--to', pair.b.ipv4, '--port', port, '--count', DATAGRAMS];
  const size = ['--size', PAYLOAD_OCTETS];
  const { pid } = await runGenerator(
    t,
    { namespace: pair.a, cgroup },
    ['udp-client', name],
    ...to,
    ...size,
  );
  await server.success();
  takeDown(pair);
  const octets = DATAGRAMS * (HEADER_OCTETS + PAYLOAD_OCTETS);
  const { interfaceName } = pair.a;
  const summary = await exporter.stop();
  return { name, pid, interfaceName, port, packets: DATAGRAMS, octets, summary };
}
