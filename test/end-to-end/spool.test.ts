// A TCP collector that is away while there is traffic, and a restart of procflow in that time: with a spool
// every packet of the interface is in one record that the collector gets, in order.
import t from 'tap';
import { unsigned } from '../support/decoder/field-values.js';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { decodeExport } from '../support/exported-messages.js';
import { runGenerator } from '../support/generators.js';
import {
  bringUp,
  createNamespacePair,
  interfaceCounters,
  takeDown,
  turnOffloadOff,
} from '../support/network-namespace.js';
import { startExport, type RunningExport } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { TcpCollector } from '../support/tcp-collector.js';
import { createCgroup } from '../support/test-cgroup.js';

const PACKETS = '0/2';
const FLOWS = 500;
/** The soak has minutes of it: PROCFLOW_OUTAGE_PACKETS=1000000. */
const OUTAGE_PACKETS = Number(process.env.PROCFLOW_OUTAGE_PACKETS ?? 20_000);

function packetsAt(collectors: readonly TcpCollector[]): number {
  let sum = 0;
  for (const { messages } of collectors.flatMap(({ connections }) => connections)) {
    const decoded = decodeExport(messages, { isStream: true });
    t.same(sequenceGaps(decoded), [], 'in order, without a gap');
    for (const { isOptions, fields } of decoded.flatMap(({ records }) => records)) {
      if (!isOptions) sum += unsigned(fields.get(PACKETS));
    }
  }
  return sum;
}

t.test('an outage and a restart in it cost nothing', { skip: missingRequirement() }, async (t) => {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  turnOffloadOff(pair);
  const { a, b } = pair;
  const before = await TcpCollector.listen(t);
  const { port } = before;
  const spool = t.testdir({});
  const times = ['--active-timeout', '0.5', '--idle-timeout', '0.2'];
  const start = (): Promise<RunningExport> =>
    startExport(t, {
      ...{ namespace: a, interfaces: [a.interfaceName], cgroup },
      destinations: [`tcp://127.0.0.1:${port}?reconnect=0.1`],
      options: [...times, '--options', 'none', '--spool', spool],
    });
  const first = await start();
  bringUp(pair);
  const link = ['--interface', a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', a.ipv4, '--to', b.ipv4, '--port', 23, '--flows', FLOWS];
  const send = async (count: number): Promise<void> => {
    const options = [...link, ...ends, '--count', count, '--pause', 1];
    await runGenerator(t, { namespace: a, cgroup }, ['frame-sender', 'sender'], ...options);
  };
  const sent = (): number => {
    const wire = interfaceCounters(a);
    return wire.sentPackets + wire.receivedPackets;
  };

  await send(2000);
  // What a collector has acknowledged and not read when it ends is lost with it.
  takeDown(pair);
  await before.until(() => packetsAt([before]) >= sent());
  await before.stop();
  bringUp(pair);
  await send(OUTAGE_PACKETS / 2);
  takeDown(pair);
  const ended = await first.stop();
  t.match(ended.lines.join('\n'), /\d+ records in \d+ messages wait for the next run/);
  t.match(ended.lines.join('\n'), /nothing was lost/);

  const second = await start();
  bringUp(pair);
  await send(OUTAGE_PACKETS / 2);
  takeDown(pair);
  const after = await TcpCollector.listen(t, { port });
  await after.until(() => packetsAt([before, after]) >= sent());
  const { lines } = await second.stop();
  t.match(lines.join('\n'), /\d+ records of the last run were taken over/);
  t.match(lines.join('\n'), /nothing was lost/);
  await after.allEnded();
  t.equal(packetsAt([before, after]), sent());
});
