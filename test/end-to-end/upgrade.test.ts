// Another version, or other settings, with the same state directory: the flows of the former load come out of
// its own maps by its own programs, and the new one meters on. No packet is lost or counted twice.
import { readdirSync } from 'node:fs';
import t from 'tap';
import { missingBpfFileSystem } from '../support/bpf-directory.js';
import { startGenerator } from '../support/generators.js';
import { flowsIn, keepMetering, startLong, untilSent } from '../support/kept-metering.js';
import {
  bringUp,
  createNamespacePair,
  interfaceCounters,
  takeDown,
  turnOffloadOff,
} from '../support/network-namespace.js';
import { freeUdpPort } from '../support/nfcapd.js';
import { buildOtherVersion } from '../support/other-version.js';
import { startExport, startProcflow } from '../support/procflow.js';
import type { Program } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { sumCaptured } from '../support/socket-capture.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement('bpftool', 'clang', 'llvm-objcopy') || missingBpfFileSystem();
const PACKETS_BETWEEN = 2000;
const FLOWS = 64;
const PORT = 23;

for (const other of ['version', 'settings'] as const) {
  t.test(`the load of another ${other} is swept, then replaced`, { skip }, async (t) => {
    const cgroup = createCgroup(t);
    const pair = createNamespacePair(t);
    turnOffloadOff(pair);
    const { a, b } = pair;
    const place = ['-i', a.interfaceName, '--netns', a.name, '--cgroup', cgroup];
    const kept = keepMetering(t, place);
    const startOther = async (): Promise<Program> =>
      other === 'version'
        ? kept.startOther(buildOtherVersion(t))
        : startLong(kept, '--max-flows', '1000');
    const former = await startOther();
    bringUp(pair);
    const link = ['--interface', a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
    const ends = ['--source', a.ipv4, '--to', b.ipv4, '--port', PORT, '--flows', FLOWS];
    const sender = startGenerator(
      t,
      { namespace: a, cgroup },
      'frame-sender',
      ...[...link, ...ends, '--count', 10_000_000, '--pause', 2],
    );
    await untilSent(a, PACKETS_BETWEEN);
    await former.stop('SIGKILL');
    await untilSent(a, PACKETS_BETWEEN);
    // Killed before it has swept, as likely as after.
    const killed = startProcflow(t, [
      ...['live', '--json', ...place, '--state', kept.directory],
      ...['--active-timeout', '600', '--idle-timeout', '600', '-t', 'expint=600'],
    ]);
    await killed.line('err', /metering/);
    await killed.stop('SIGKILL');
    await untilSent(a, PACKETS_BETWEEN);
    const next = await startLong(kept);
    await untilSent(a, PACKETS_BETWEEN);
    await next.stop();
    await sender.stop();
    takeDown(pair);
    const wire = interfaceCounters(a);
    const packets = wire.sentPackets + wire.receivedPackets;

    const before = [...flowsIn(killed), ...flowsIn(next)];
    const known = sumCaptured(before).packets;
    t.ok(before.every((flow) => flow.packetDeltaCount > 0 && flow.interfaceIndex > 0));
    const names = before
      .filter((flow) => flow.destinationTransportPort === PORT)
      .map((flow) => flow.sourceProcess?.processName);
    t.equal(names.length, FLOWS, 'all flows of the former load');
    t.ok(names.every((name) => name === 'frame-sender'));
    const numbers = readdirSync(kept.directory).filter((name) => /^\d+$/.test(name));
    t.same(numbers, ['3'], 'which is gone');

    const rest = await kept.flowsOf(packets - known);
    const sum = sumCaptured([...before, ...rest]);
    t.equal(sum.packets, packets, 'packets');
    t.equal(sum.octets, wire.sentOctets + wire.receivedOctets - 14 * packets, 'octets');

    const exporter = await startExport(t, {
      namespace: a,
      interfaces: [a.interfaceName],
      version: 10,
      port: await freeUdpPort(),
      cgroup,
      options: ['--state', kept.directory],
    });
    const { counter } = await exporter.stop();
    t.equal(counter('METERED_PACKETS'), packets, "the kernel's counters go on");
    await kept.detach();
  });
}
