// What is one flow, and how many there are at a time: --track-process and --max-flows.
import t from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { startProcflow } from '../support/procflow.js';
import { startSession } from '../support/metering-session.js';
import type { Program, Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const TCP = 6;
const PORT = 7777;
const SOURCE_PORT = 33_333;
/** Also after a FIN: a busy machine may send the last acknowledgement a second later. */
const ENDLESS = [
  ...['--idle-timeout', '1h', '--active-timeout', '1h'],
  ...['-t', 'tcp.fin=1h', '-t', 'tcp.rst=1h'],
];

interface LiveFlow {
  readonly flowEndReason: string;
  readonly sourceTransportPort: number;
  readonly destinationTransportPort: number;
  readonly packetDeltaCount: number;
  readonly sourceProcess: { readonly processId: number };
}

interface LiveStage {
  readonly place: { readonly namespace: ReturnType<typeof createNamespace>; cgroup: string };
  readonly live: Program;
  /** Ends procflow; what it printed of flows to and from the port. */
  readonly finish: () => Promise<readonly LiveFlow[]>;
}

async function startLive(t: Teardown, ...options: readonly string[]): Promise<LiveStage> {
  const namespace = createNamespace(t);
  const cgroup = createCgroup(t);
  const where = ['-i', 'lo', '--netns', namespace.path, '--cgroup', cgroup];
  const live = startProcflow(t, ['live', '--json', ...where, ...ENDLESS, ...options]);
  await live.line('err', /metering lo/);
  const finish = async (): Promise<readonly LiveFlow[]> => {
    await live.stop();
    const flows = live.out.map((line) => JSON.parse(line) as LiveFlow);
    return flows.filter((flow) =>
      [flow.sourceTransportPort, flow.destinationTransportPort].includes(PORT),
    );
  };
  return { place: { namespace, cgroup }, live, finish };
}

for (const { options, records } of [
  { options: [], records: 1 },
  { options: ['--track-process'], records: 2 },
]) {
  const name = `two processes one after the other on the same ports: ${records} with ${options.join(' ') || 'no option'}`;
  t.test(name, { skip }, async (t) => {
    const { place, finish } = await startLive(t, ...options);
    const to = ['--to', '127.0.0.1', '--port', PORT, '--source-port', SOURCE_PORT];
    const first = await runGenerator(t, place, 'udp-client', ...to, '--count', 3);
    const second = await runGenerator(t, place, 'udp-client', ...to, '--count', 5);
    const flows = await finish();
    const found = flows.map((flow) => [flow.sourceProcess.processId, flow.packetDeltaCount]);
    const expected = [
      [first.pid, 3],
      [second.pid, 5],
    ];
    t.same(found.sort(), records === 2 ? expected.sort() : [[second.pid, 8]]);
  });
}

t.test('both directions of a tracked process, on a wire', { skip }, async (t) => {
  const options = ['--track-process', ...ENDLESS];
  const session = await startSession(t, { version: 10, options });
  const { a, b, pair } = session;
  const server = startGenerator(t, b, 'tcp-server', '--echo', '--count', 4);
  const { port } = await server.report('ready');
  const to = ['--to', pair.b.ipv4, '--port', Number(port), '--octets', 5000, '--read-echo'];
  const clients = [];
  for (let i = 0; i < 4; i++) clients.push(await runGenerator(t, a, 'tcp-client', ...to));
  await server.success();
  const { decoded } = await session.finish();
  for (const client of clients) {
    const own = decoded.filter(
      ({ protocol, sourcePort, destinationPort }) =>
        protocol === TCP && [sourcePort, destinationPort].includes(Number(client.port)),
    );
    t.equal(own.length, 2, `one record a direction of ${client.pid}`);
  }
});

t.test('both ends of tracked processes, on loopback', { skip }, async (t) => {
  const { place, finish } = await startLive(t, '--track-process');
  const role = ['--echo', '--port', PORT, '--count', 4];
  const server = startGenerator(t, place, 'tcp-server', ...role);
  const ready = await server.report('ready');
  const to = ['--to', '127.0.0.1', '--port', PORT, '--octets', 5000, '--read-echo'];
  const clients = [];
  for (let i = 0; i < 4; i++) clients.push(await runGenerator(t, place, 'tcp-client', ...to));
  await server.success();
  const found = (await finish()).map(({ sourceTransportPort, ...flow }) => [
    ...[sourceTransportPort, flow.destinationTransportPort],
    flow.sourceProcess.processId,
  ]);
  const expected = clients.flatMap(({ port, pid }) => [
    [port, PORT, pid],
    [PORT, port, ready.pid],
  ]);
  t.same(found.sort(), expected.sort());
});

t.test('of more flows than are wanted the oldest end early', { skip }, async (t) => {
  const WANTED = 100;
  const ALL = 1000;
  const { place, live, finish } = await startLive(t, '--max-flows', String(WANTED));
  // Without a receiver there would be flows of ICMP too.
  const receiver = startGenerator(t, place, 'udp-server', '--port', PORT, '--count', ALL);
  await receiver.report('ready');
  const to = ['--to', '127.0.0.1', '--port', PORT, '--source-port', 20_000];
  await runGenerator(t, place, 'udp-client', ...to, '--flows', ALL);
  const last = 20_000 + ALL - WANTED - 1;
  // All of them: where the kernel's walk has missed one, the next sweep ends it.
  await live.lines('out', /"flowEndReason":"lackOfResources"/, ALL - WANTED);
  const flows = await finish();
  const early = flows.filter(({ flowEndReason }) => flowEndReason === 'lackOfResources');
  t.equal(flows.length, ALL);
  t.equal(early.length, ALL - WANTED);
  t.ok(early.every(({ sourceTransportPort }) => sourceTransportPort <= last));
  t.ok(flows.every(({ packetDeltaCount }) => packetDeltaCount === 1));
  t.ok(
    live.err.some((line) => line.includes('lack of resources 900')),
    live.err.join('\n'),
  );
});
