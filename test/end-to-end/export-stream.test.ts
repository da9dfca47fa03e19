// A thousand flows of real traffic as one stream of messages: tshark finds nothing malformed and
// no gap, and nfdump arrives at the exporter's own totals.
import t from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { startSession, sumFlows, type MeteringSession } from '../support/metering-session.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const UDP_FLOWS = 500;
const TCP_CONNECTIONS = 100;
/** Of the 2400 that are made some have the same ports by chance. */
const FLOWS = 2000;

async function converse(t: Teardown, { a, b, pair }: MeteringSession): Promise<void> {
  for (const address of [pair.b.ipv4, pair.b.ipv6]) {
    for (const [kind, option, count] of [
      ['udp', '--flows', UDP_FLOWS],
      ['tcp', '--connections', TCP_CONNECTIONS],
    ] as const) {
      const server = startGenerator(t, b, `${kind}-server`, '--echo', '--count', count);
      const { port } = await server.report('ready');
      const to = ['--to', address, '--port', Number(port), '--read-echo'];
      await runGenerator(t, a, `${kind}-client`, ...to, option, count);
      await server.success();
    }
  }
}

for (const [version, name] of [
  [9, 'NetFlow v9'],
  [10, 'IPFIX'],
] as const) {
  t.test(`over ${FLOWS} flows as ${name} reach nfdump and tshark unharmed`, { skip }, async (t) => {
    const session = await startSession(t, { version });
    await converse(t, session);
    const { summary, nfdump, decoded } = await session.finish();

    t.equal(session.capture.malformed(), 0, 'nothing malformed');
    t.equal(session.capture.sequenceGaps(), 0, 'no gap in the sequence numbers');
    t.equal(session.collector.totals().badPackets, 0, 'nothing that nfcapd calls bad');
    t.ok(summary.records >= FLOWS, `${summary.records} records`);
    const { records: flows, packets, octets } = summary;
    t.same(sumFlows(decoded), { flows, packets, octets }, 'tshark has the same totals');
    t.same(sumFlows(nfdump), { flows, packets, octets }, 'nfdump has the same totals');
    t.match(session.collector.totals(), { flows, packets, octets }, 'nfcapd counted the same');
    const firstData = session.capture.setIds().findIndex((id) => id >= 256);
    t.ok(firstData > 0, 'templates come before data');
  });
}

t.test('NetFlow v9 has no gap for nfcapd either', { skip }, async (t) => {
  const session = await startSession(t, { version: 9 });
  await converse(t, session);
  await session.finish();
  t.equal(session.collector.totals().sequenceErrors, 0);
});

t.test('--profile standard has no enterprise elements', { skip }, async (t) => {
  const session = await startSession(t, { version: 10, options: ['--profile', 'standard'] });
  await converse(t, session);
  const { summary, decoded } = await session.finish();
  const { records: flows, packets, octets } = summary;
  t.same(sumFlows(decoded), { flows, packets, octets });
  t.ok(decoded.every(({ sourceProcess }) => sourceProcess.pid === 0 && sourceProcess.name === ''));
});
