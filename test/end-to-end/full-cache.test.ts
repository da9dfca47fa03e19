// More flows than the cache holds: packets are reported singly then, and each that was sent is in
// the records or in the counter of lost ones.
import t from 'tap';
import { runGenerator } from '../support/generators.js';
import { startSession, sumFlows } from '../support/metering-session.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const PORT = 23;
const FLOWS = 5000;
const FRAMES = 20_000;

t.test('a cache that is full loses nothing silently', { skip }, async (t) => {
  const session = await startSession(t, { version: 9, options: ['--max-flows', '1000'] });
  const { a, pair } = session;
  const link = ['--interface', pair.a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', pair.a.ipv6, '--to', pair.b.ipv6, '--port', PORT];
  const amount = ['--count', FRAMES, '--flows', FLOWS];
  const report = await runGenerator(t, a, 'frame-sender', ...link, ...ends, ...amount);
  const { summary, nfdump } = await session.finish();

  const received = sumFlows(nfdump, (flow) => flow.destinationPort === PORT);
  const lost = summary.counter('LOST_PACKETS');
  t.ok(summary.counter('SINGLE_PACKET_RECORDS') > 0, 'the cache was full');
  t.equal(received.packets + lost, FRAMES, 'packets');
  t.equal(received.octets + summary.counter('LOST_OCTETS'), report.octets, 'octets');
  const saysLoss = summary.lines.some((line) =>
    /LOSS: \d+ packets that were not metered/.test(line),
  );
  t.equal(saysLoss, lost > 0, `a loss is said aloud (${lost} lost)`);
});
