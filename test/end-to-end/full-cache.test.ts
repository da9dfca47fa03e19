// More flows than the cache holds: packets are reported singly then, and each that was sent is in
// the records or in the counter of lost ones.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { runGenerator, startGenerator } from '../support/generators.js';
import { ETHERNET_OCTETS } from '../support/network-namespace.js';
import { startSession, sumFlows } from '../support/metering-session.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const PORT = 23;
/** The cache has room for 8192 above --max-flows. */
const FLOWS = 40_000;
const FRAMES = 80_000;
const ENDLESS = 2 ** 40;
/** Several sweeps. */
const FLOOD_MS = 4000;
const MAX_STOP_MS = 8000;

t.test('a cache that is full loses nothing silently', { skip }, async (t) => {
  const session = await startSession(t, { version: 9, options: ['--max-flows', '1000'] });
  const { a, pair } = session;
  const link = ['--interface', pair.a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', pair.a.ipv6, '--to', pair.b.ipv6, '--port', PORT];
  const amount = ['--count', FRAMES, '--flows', FLOWS];
  const report = await runGenerator(t, a, 'frame-sender', ...link, ...ends, ...amount);
  const { summary, wire, nfdump } = await session.finish();

  // All that crossed the interface: what is lost can be a multicast report of the kernel's too.
  const packets = wire.sentPackets + wire.receivedPackets;
  const octets = wire.sentOctets + wire.receivedOctets - ETHERNET_OCTETS * packets;
  t.ok(packets >= FRAMES && octets >= Number(report.octets), 'all frames were sent');
  const received = sumFlows(nfdump);
  const lost = summary.counter('LOST_PACKETS');
  t.ok(summary.counter('SINGLE_PACKET_RECORDS') > 0, 'the cache was full');
  t.equal(received.packets + lost, packets, 'packets');
  t.equal(received.octets + summary.counter('LOST_OCTETS'), octets, 'octets');
  const saysLoss = summary.lines.some((line) =>
    /LOSS: \d+ packets that were not metered/.test(line),
  );
  t.equal(saysLoss, lost > 0, `a loss is said aloud (${lost} lost)`);
});

t.test(
  'a flood that the cache has no place for cannot keep procflow running',
  { skip },
  async (t) => {
    const options = ['--max-flows', '16'];
    const session = await startSession(t, { version: 10, options });
    const { b, pair, exporter } = session;
    const link = ['--interface', pair.b.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
    const ends = ['--source', pair.b.ipv4, '--to', pair.a.ipv4, '--port', PORT, '--bypass-qdisc'];
    const amount = ['--count', ENDLESS, '--flows', FLOWS];
    const senders = [0, 1].map((cpu) =>
      startGenerator(t, b, 'frame-sender', ...link, ...ends, ...amount, '--cpu', cpu),
    );
    await delay(FLOOD_MS);
    const startMs = performance.now();
    const summary = await exporter.stop('SIGINT');
    const tookMs = performance.now() - startMs;

    t.notOk(
      senders.some((sender) => sender.hasEnded),
      'while the flood goes on',
    );
    t.same(summary.end, { code: 0, signal: null }, 'a good end');
    t.ok(tookMs < MAX_STOP_MS, `after ${Math.round(tookMs)} ms`);
    for (const [sum, metered, lost] of [
      [summary.packets, 'METERED_PACKETS', 'LOST_PACKETS'],
      [summary.octets, 'METERED_OCTETS', 'LOST_OCTETS'],
    ] as const) {
      t.ok(summary.counter(lost) > 0, `it was a flood: ${summary.counter(lost)} ${lost}`);
      t.equal(sum + summary.counter(lost), summary.counter(metered), metered);
    }
  },
);
