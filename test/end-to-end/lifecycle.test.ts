// Start and end: what a stop exports, and what a killed procflow leaves to the next one.
import t from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { startSession, sumFlows } from '../support/metering-session.js';
import { bringUp, createNamespacePair, listFilters } from '../support/network-namespace.js';
import { freeUdpPort } from '../support/nfcapd.js';
import { runProcflow, startExport, startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const FORCED_END = 4;
const UDP = 17;
const PACKETS = 23;

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} exports what is in the cache, as a forced end`, { skip }, async (t) => {
    const session = await startSession(t, { version: 10 });
    const { a, b, pair, exporter, capture } = session;
    const server = startGenerator(t, b, 'udp-server', '--count', PACKETS);
    const { port } = await server.report('ready');
    const to = ['--to', pair.b.ipv4, '--port', Number(port), '--count', PACKETS];
    await runGenerator(t, a, 'udp-client', ...to);
    await server.success();
    const { end } = await exporter.stop(signal);
    await capture.stop();

    t.same(end, { code: 0, signal: null }, 'a good end');
    const flows = capture.flows().filter((flow) => flow.protocol === UDP);
    t.match(flows, [{ packets: PACKETS, endReason: FORCED_END }], 'the flow is out');
    const sets = capture.setIds();
    const firstData = sets.findIndex((id) => id >= 256);
    t.ok(sets.slice(0, firstData).includes(2), 'its template before it');
  });
}

for (const attach of ['tcx', 'clsact'] as const) {
  t.test(`nothing is left on the interface after a stop, ${attach}`, { skip }, async (t) => {
    const pair = createNamespacePair(t);
    bringUp(pair);
    const port = await freeUdpPort();
    const options = { interfaces: [pair.a.interfaceName], version: 9, port } as const;
    const exporter = await startExport(t, {
      ...options,
      namespace: pair.a,
      cgroup: createCgroup(t),
      options: ['--attach', attach],
    });
    if (attach === 'clsact') t.not(listFilters(pair.a), '', 'filters are there while it runs');
    await exporter.stop();
    t.equal(listFilters(pair.a), '', 'and gone afterwards');
  });
}

t.test('a start replaces the filters that a killed procflow left', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const port = await freeUdpPort();
  let leftBehind = '';
  const session = await startSession(t, {
    version: 10,
    options: ['--attach', 'clsact'],
    beforeStart: async ({ pair }) => {
      const options = { namespace: pair.a, interfaces: [pair.a.interfaceName], port, cgroup };
      const attach = ['--attach', 'clsact'];
      const killed = await startExport(t, { ...options, version: 10, options: attach });
      await killed.program.stop('SIGKILL');
      leftBehind = listFilters(pair.a);
    },
  });
  const { a, b, pair } = session;
  t.match(leftBehind, /procflow|flow_/, 'kill -9 leaves its filters on the interface');
  const countFilters = (text: string): number => text.match(/ handle /g)?.length ?? 0;
  t.equal(countFilters(listFilters(pair.a)), countFilters(leftBehind), 'replaced, not doubled');

  const server = startGenerator(t, b, 'udp-server', '--count', PACKETS);
  const ready = await server.report('ready');
  const to = ['--to', pair.b.ipv4, '--port', Number(ready.port), '--count', PACKETS];
  await runGenerator(t, a, 'udp-client', ...to);
  await server.success();
  const { decoded } = await session.finish();
  const flow = sumFlows(decoded, ({ destinationPort }) => destinationPort === ready.port);
  t.match(flow, { flows: 1, packets: PACKETS }, 'and each packet is counted once');
  t.equal(listFilters(pair.a), '', 'nothing is left after a clean stop');
});

t.test('with clsact a second procflow leaves the first one its interface', { skip }, async (t) => {
  const session = await startSession(t, { version: 10, options: ['--attach', 'clsact'] });
  const { a, b, pair, cgroup } = session;
  const place = ['--netns', pair.a.name, '--cgroup', cgroup, '--attach', 'clsact'];
  const second = await runProcflow(t, ['live', '-i', pair.a.interfaceName, ...place]);
  t.equal(second.end.code, 1);
  t.match(
    second.err,
    /^procflow: meter interface veth0: EBUSY \(another procflow, process \d+, meters it by clsact/,
  );

  const waiting = startProcflow(t, ['live', '-i', 'any', ...place]);
  await waiting.line('err', /veth0 is not metered: meter interface veth0: EBUSY/);
  await waiting.line('err', /^procflow: metering lo;/);

  const server = startGenerator(t, b, 'udp-server', '--count', PACKETS);
  const ready = await server.report('ready');
  const to = ['--to', pair.b.ipv4, '--port', Number(ready.port), '--count', PACKETS];
  await runGenerator(t, a, 'udp-client', ...to);
  await server.success();
  const { decoded } = await session.finish();
  const flow = sumFlows(decoded, ({ destinationPort }) => destinationPort === ready.port);
  t.match(flow, { flows: 1, packets: PACKETS }, 'which meters on');

  await waiting.line('err', /veth0 appeared and is metered/);
  t.equal(waiting.err.filter((line) => line.includes('EBUSY')).length, 1, 'said once');
  await waiting.stop();
  t.equal(listFilters(pair.a), '', 'nothing is left');
});
