// Debian's softflowctl, unchanged, against a procflow that runs: each command of its manual, and what
// it brings about.
import t from 'tap';
import { startControlled } from '../support/control.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement('softflowctl');
const FORCED_END = 4;
const UDP = 17;
const PACKETS = 23;

t.test('expire-all exports what is in the cache, and metering goes on', { skip }, async (t) => {
  const { session, softflowctl, statistics, sendMetered } = await startControlled(t);
  const first = await sendMetered(PACKETS);
  const answer = await softflowctl('expire-all');
  t.match(answer, { code: 0, out: /^procflow\[\d+\]: Expired [1-9]\d* flows\.\n$/ });
  const { flows, collectors } = await statistics();
  t.ok(flows.reasons.flushed > 0, 'they have expired, flushed');
  t.equal(flows.flows, flows.reasons.flushed);
  t.match(collectors, [{ lostRecords: 0 }]);
  // While it runs: what comes at the end is no sign.
  let sent = 0;
  while (sent === 0) sent = (await statistics()).collectors[0]?.records ?? 0;
  const second = await sendMetered(PACKETS);
  const { summary } = await session.finish();
  t.match(summary.end, { code: 0 });
  const exported = session.capture
    .flows()
    .filter(({ protocol, destinationPort }) => protocol === UDP && destinationPort !== 0);
  for (const port of [first, second]) {
    const flow = exported.find(({ destinationPort }) => destinationPort === port);
    t.match(flow, { packets: PACKETS, endReason: FORCED_END }, 'each once, as a forced end');
  }
});

t.test('delete-all drops what is in the cache, which is counted', { skip }, async (t) => {
  const { session, softflowctl, sendMetered } = await startControlled(t);
  const dropped = await sendMetered(PACKETS);
  const answer = await softflowctl('delete-all');
  t.match(answer, { code: 0, out: /^procflow\[\d+\]: Deleted [1-9]\d* flows\.\n$/ });
  const kept = await sendMetered(PACKETS);
  const { summary, nfdump } = await session.finish();
  const ports = nfdump.map(({ destinationPort }) => destinationPort);
  t.notOk(ports.includes(dropped), 'the first flow is not exported');
  t.ok(ports.includes(kept), 'the second one is');
  const loss = summary.lines.find((line) => line.includes('LOSS'));
  const [, packets] =
    /LOSS: \d+ flow records \((\d+) packets, \d+ octets\) deleted/.exec(loss ?? '') ?? [];
  t.equal(Number(packets) + summary.packets, summary.counter('METERED_PACKETS'), 'none is missing');
});

t.test('stop-gather stops metering and start-gather resumes it', { skip }, async (t) => {
  const { session, softflowctl, statistics, send, sendMetered } = await startControlled(t);
  const before = await sendMetered(PACKETS);
  t.match(await softflowctl('stop-gather'), { code: 0, out: /: Data collection stopped\.\n$/ });
  t.equal((await statistics()).isGathering, false);
  const counted = (await statistics()).counters?.METERED_PACKETS;
  const unseen = await send(PACKETS);
  t.equal((await statistics()).counters?.METERED_PACKETS, counted, 'nothing is counted');
  t.match(await softflowctl('stop-gather'), { code: 0 }, 'once more does no harm');
  t.match(await softflowctl('start-gather'), { code: 0, out: /: Data collection resumed\.\n$/ });
  t.match(await softflowctl('start-gather'), { code: 0 }, 'neither does that');
  const after = await sendMetered(PACKETS);
  const { nfdump } = await session.finish();
  const ports = nfdump.map(({ destinationPort }) => destinationPort);
  t.same(
    [before, unseen, after].map((port) => ports.includes(port)),
    [true, false, true],
    'the flow from before stayed, the second was not seen',
  );
  const packets = nfdump.find(({ destinationPort }) => destinationPort === after)?.packets;
  t.equal(packets, PACKETS, 'each packet is counted once');
});

t.test('send-template sends templates at once', { skip }, async (t) => {
  const { session, softflowctl, statistics } = await startControlled(t);
  const templates = async (): Promise<number> => (await statistics()).collectors[0]?.templates ?? 0;
  let first = 0;
  while (first === 0) first = await templates();
  const { code, out } = await softflowctl('send-template');
  t.equal(code, 0);
  t.match(
    out,
    /: Templates are sent now to 1 of 1 collectors\n {2}udp:\/\/127\.0\.0\.1:\d+ is sent/,
  );
  // Without it they would come again after minutes.
  let again = first;
  while (again === first) again = await templates();
  t.equal(again, 2 * first);
  await session.finish();
  const sets = session.capture.setIds();
  t.equal(sets.filter((id) => id === 2).length % 2, 0, 'each template set was on the wire twice');
});

t.test('shutdown exports what is in the cache and ends well', { skip }, async (t) => {
  const { session, softflowctl, sendMetered } = await startControlled(t);
  const port = await sendMetered(PACKETS);
  const { code, out } = await softflowctl('shutdown');
  t.match({ code, out }, { code: 0, out: /^procflow\[\d+\]: Shutting down gracefully\.\.\.\n$/ });
  t.same(await session.exporter.program.ended, { code: 0, signal: null });
  const { nfdump, summary } = await session.finish();
  t.match(
    nfdump.find(({ destinationPort }) => destinationPort === port),
    { packets: PACKETS },
  );
  t.notMatch(summary.lines.join('\n'), /LOSS/);
});

t.test('exit ends without exporting, and says what was lost', { skip }, async (t) => {
  const { session, softflowctl, sendMetered } = await startControlled(t);
  const port = await sendMetered(PACKETS);
  const { code, out } = await softflowctl('exit');
  t.match({ code, out }, { code: 0, out: /^procflow\[\d+\]: Exiting now\.\.\.\n$/ });
  t.same(await session.exporter.program.ended, { code: 0, signal: null });
  const { nfdump, summary } = await session.finish();
  t.notOk(nfdump.some(({ destinationPort }) => destinationPort === port));
  t.match(summary.lines.join('\n'), /LOSS: [1-9]\d* flows that were still in the cache at the end/);
});

t.test('debug+ and debug- change what is told of each sweep', { skip }, async (t) => {
  const { session, softflowctl } = await startControlled(t);
  t.match(await softflowctl('debug+'), { code: 0, out: /: Debug level increased\.\n$/ });
  const { program } = session.exporter;
  await program.line('err', /^procflow: sweep: \d+ flow records in \d+ ms, \d+ flows in the cache/);
  t.notMatch(program.err.join('\n'), /so far/);
  await softflowctl('debug+');
  await program.line('err', /^procflow: sent to udp:\S+ so far: \d+ records and \d+ templates/);
  t.match(await softflowctl('debug-'), { code: 0, out: /: Debug level decreased\.\n$/ });
  await softflowctl('debug-');
  await session.finish();
});

t.test('other words are answered as softflowd answers them', { skip }, async (t) => {
  const { softflowctl } = await startControlled(t);
  t.same((await softflowctl('foo')).out, 'Unknown control command "foo"\n');
  t.same((await softflowctl('statistics x')).out, 'Unknown control command "statistics x"\n');
  t.same((await softflowctl('toString')).out, 'Unknown control command "toString"\n');
  t.same((await softflowctl('\u001b[2J')).out, 'Unknown control command "\\x1b[2J"\n');
});
