// Nothing is lost between taking a flow out of the cache and counting on: two CPUs send into the
// same flows at full speed while these are expired all the time.
import { availableParallelism } from 'node:os';
import t from 'tap';
import { startGenerator } from '../support/generators.js';
import { startSession, sumFlows } from '../support/metering-session.js';
import { missingRequirement } from '../support/requirements.js';

const skip =
  missingRequirement() || (availableParallelism() < 2 && 'needs two CPUs that send at once');
const FRAMES = 1_500_000;
const FLOWS = 256;
const PORT = 23;

/** A sends through its queueing discipline, or b past its own: then a meters what comes in. */
const DIRECTIONS = {
  egress: { from: 'a', to: 'b', options: [] },
  ingress: { from: 'b', to: 'a', options: ['--bypass-qdisc'] },
} as const;

for (const [direction, ...timeouts] of [
  ['egress', '--active-timeout', '1'],
  ['egress', '--active-timeout', '0.1', '--idle-timeout', '0.1'],
  ['ingress', '--active-timeout', '0.1', '--idle-timeout', '0.1'],
] as const) {
  t.test(`no packet is lost, ${direction}, with ${timeouts.join(' ')}`, { skip }, async (t) => {
    const session = await startSession(t, { version: 9, options: timeouts });
    const { from, to, options } = DIRECTIONS[direction];
    const [sender, receiver] = [session.pair[from], session.pair[to]];
    // No host has this address: the peer drops the frames at once and answers none.
    const link = ['--interface', sender.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
    const ends = ['--source', sender.ipv4, '--to', receiver.ipv4, '--port', PORT, ...options];
    const amount = ['--count', FRAMES, '--flows', FLOWS];
    const senders = [0, 1].map((cpu) =>
      startGenerator(t, session[from], 'frame-sender', ...link, ...ends, ...amount, '--cpu', cpu),
    );
    const reports = await Promise.all(senders.map((sender) => sender.report('done')));
    const { summary, nfdump, decoded } = await session.finish();

    const sent = sumFlows(
      reports.map((r) => ({ packets: Number(r.packets), octets: Number(r.octets) })),
    );
    const expected = { packets: 2 * FRAMES, octets: sent.octets };
    t.equal(sent.packets, 2 * FRAMES);
    t.equal(summary.counter('LOST_PACKETS'), 0);
    const exported = sumFlows(decoded, (flow) => flow.destinationPort === PORT);
    t.match(exported, expected, 'in the exported records');
    t.ok(exported.flows > 2 * FLOWS, `expired while traffic ran: ${exported.flows} records`);
    const received = sumFlows(nfdump, (flow) => flow.destinationPort === PORT);
    t.match(received, expected, 'in nfdump');
    t.equal(summary.packets, sumFlows(nfdump).packets, 'in the summary');
  });
}

t.test('no packet is lost that comes just as its flow is found idle', { skip }, async (t) => {
  // Each flow has a packet a little less often than every 0.1 s: it comes as the flow ends.
  const flows = 40_000;
  const frames = 400_000;
  const options = ['--idle-timeout', '0.1', '--max-flows', '131072'];
  const session = await startSession(t, { version: 9, options });
  const { a, pair } = session;
  const link = ['--interface', pair.a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', pair.a.ipv4, '--to', pair.b.ipv4, '--port', PORT];
  const amount = ['--count', frames, '--flows', flows, '--pause', 110];
  const senders = [0, 1].map((cpu) =>
    startGenerator(t, a, 'frame-sender', ...link, ...ends, ...amount, '--cpu', cpu),
  );
  await Promise.all(senders.map((sender) => sender.report('done')));
  const { summary, wire, nfdump } = await session.finish();

  const packets = wire.sentPackets + wire.receivedPackets;
  t.ok(packets >= 2 * frames, `${packets} packets on the wire`);
  t.equal(summary.packets + summary.counter('LOST_PACKETS'), packets, 'in the summary');
  t.equal(summary.counter('LOST_PACKETS'), 0);
  t.ok(summary.records > flows + 1000, `expired while traffic ran: ${summary.records} records`);
  t.equal(sumFlows(nfdump).packets, packets, 'in nfdump');
});
