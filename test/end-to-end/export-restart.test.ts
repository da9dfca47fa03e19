// An exporter that is killed in the middle of its sweeps and messages, and started again: with --state each
// packet of the interface is in one record that the collector has.
import t from 'tap';
import { bpfDirectory, missingBpfFileSystem } from '../support/bpf-directory.js';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { decodeExport } from '../support/exported-messages.js';
import { FlowCollector } from '../support/flow-collector.js';
import { startGenerator } from '../support/generators.js';
import {
  bringUp,
  createNamespacePair,
  interfaceCounters,
  takeDown,
  turnOffloadOff,
} from '../support/network-namespace.js';
import { runProcflow, startProcflow } from '../support/procflow.js';
import type { Program } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement() || missingBpfFileSystem();
const KILLS = 6;
const FLOWS = 1000;

for (const [title, ...sizes] of [
  ['with the settings that it had', '65536'],
  ['with other settings each time', '2000', '2100'],
] as const) {
  t.test(
    `killed while it exports, started ${title}: all is sent, and once`,
    { skip },
    async (t) => {
      const cgroup = createCgroup(t);
      const pair = createNamespacePair(t);
      turnOffloadOff(pair);
      const { a, b } = pair;
      const collector = await FlowCollector.listen(t);
      const state = bpfDirectory(t);
      const place = ['-i', a.interfaceName, '--netns', a.name, '--cgroup', cgroup];
      const times = ['--active-timeout', '0.5', '--idle-timeout', '0.2', '--rate', '1000'];
      const to = ['-n', `127.0.0.1:${collector.port}`, '-v', '10', '--options', 'none'];
      let starts = 0;
      const size = (): string => sizes[starts++ % sizes.length] ?? '';
      const start = async (): Promise<Program> => {
        const options = [...place, ...times, ...to, '--state', state, '-m', size()];
        const program = startProcflow(t, ['export', ...options]);
        await program.line('err', /^procflow: metering/);
        return program;
      };
      let program = await start();
      bringUp(pair);
      const link = ['--interface', a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
      const ends = ['--source', a.ipv4, '--to', b.ipv4, '--port', 23, '--flows', FLOWS];
      const sender = startGenerator(
        t,
        { namespace: a, cgroup },
        ['frame-sender', 'sender'],
        ...[...link, ...ends, '--count', 10_000_000, '--pause', 1],
      );
      for (let kill = 0; kill < KILLS; kill++) {
        // In the middle of a sweep, more or less far.
        const until = collector.messages.length + 20 + 17 * kill;
        while (collector.messages.length < until) await collector.next();
        await program.stop('SIGKILL');
        program = await start();
      }
      await sender.stop();
      takeDown(pair);
      const wire = interfaceCounters(a);
      const sum = (values: readonly number[]): number =>
        values.reduce((all, value) => all + value, 0);
      const packets = wire.sentPackets + wire.receivedPackets;
      await collector.until(() => sum(collector.packets()) >= packets);
      const { code } = await program.stop();
      t.equal(code, 0);
      t.match(program.err.join('\n'), /nothing was lost/);
      t.equal(sum(collector.packets()), packets);
      const octets = wire.sentOctets + wire.receivedOctets - 14 * packets;
      t.equal(sum(collector.octets()), octets);
      t.same(sequenceGaps(decodeExport(collector.messages)), []);
      const { end } = await runProcflow(t, ['detach', '--state', state, '--netns', a.name]);
      t.equal(end.code, 0);
    },
  );
}
