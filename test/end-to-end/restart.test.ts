// Nothing that the kernel meters is lost when procflow is killed and started again: with --state.
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { missingBpfFileSystem, pinsBelow } from '../support/bpf-directory.js';
import { startGenerator, startIn } from '../support/generators.js';
import {
  keepMetering,
  pinnedLinks,
  startLong,
  untilGone,
  untilSent,
} from '../support/kept-metering.js';
import {
  bringUp,
  createNamespace,
  createNamespacePair,
  datagrams,
  interfaceCounters,
  listFilters,
  listQdiscs,
  takeDown,
  turnOffloadOff,
} from '../support/network-namespace.js';
import { PROCFLOW, runProcflow, startProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { sumCaptured } from '../support/socket-capture.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement('bpftool') || missingBpfFileSystem();
const KILLS = 4;
/** Before each kill, and again before the next start. */
const PACKETS_BETWEEN = 2000;
const FLOWS = 64;
const PORT = 23;

for (const attach of ['tcx', 'clsact'] as const) {
  t.test(
    `every packet of an interface is metered once over kills, ${attach}`,
    { skip },
    async (t) => {
      const cgroup = createCgroup(t);
      const pair = createNamespacePair(t);
      turnOffloadOff(pair);
      const { a, b } = pair;
      const place = ['-i', a.interfaceName, '--netns', a.name, '--cgroup', cgroup];
      const kept = keepMetering(t, [...place, '--attach', attach]);
      let session = await startLong(kept);
      bringUp(pair);
      // No host has this address: the peer drops the frames at once and answers none.
      const link = ['--interface', a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
      const ends = ['--source', a.ipv4, '--to', b.ipv4, '--port', PORT, '--flows', FLOWS];
      const inA = { namespace: a, cgroup };
      const sender = startGenerator(
        t,
        inA,
        ['frame-sender', 'before'],
        ...[...link, ...ends, '--count', 10_000_000, '--pause', 2],
      );
      for (let kill = 0; kill < KILLS; kill++) {
        await untilSent(a, PACKETS_BETWEEN);
        await session.stop('SIGKILL');
        await untilSent(a, PACKETS_BETWEEN);
        session = await startLong(kept);
      }
      await untilSent(a, PACKETS_BETWEEN);
      const { code } = await session.stop();
      t.equal(code, 0);
      t.match(session.err.join('\n'), /metering goes on in the kernel: \d+ flows are kept/);
      await untilSent(a, PACKETS_BETWEEN);
      await sender.stop();
      takeDown(pair);
      const wire = interfaceCounters(a);

      const flows = await kept.flowsOf(wire.sentPackets + wire.receivedPackets);
      const sum = sumCaptured(flows);
      t.equal(sum.packets, wire.sentPackets + wire.receivedPackets, 'packets');
      const headers = 14 * sum.packets;
      t.equal(sum.octets, wire.sentOctets + wire.receivedOctets - headers, 'octets');
      const sent = flows.filter((flow) => flow.destinationTransportPort === PORT);
      t.equal(sent.length, FLOWS, 'no flow is in two records');
      t.ok(
        sent.every((flow) => flow.sourceProcess?.processName === 'before'),
        'whose sender has ended by now',
      );

      const links = pinnedLinks(kept.directory);
      t.ok(links.length > (attach === 'tcx' ? 10 : 8));
      t.match(
        await kept.detach('--netns', a.name),
        new RegExp(`^removed ${kept.directory}: \\d+ links; 0 flows`),
      );
      t.notOk(existsSync(kept.directory));
      await untilGone(links);
      t.equal(listFilters(a), '', 'no filter is left');
      t.notMatch(listQdiscs(a), 'clsact', 'and no qdisc');
    },
  );
}

for (const filter of [[], ['udp']]) {
  const title = `every packet at sockets is metered once over kills ${filter.join(' ')}`;
  t.test(title, { skip }, async (t) => {
    const cgroup = createCgroup(t);
    const pair = createNamespacePair(t);
    bringUp(pair);
    const { a, b } = pair;
    const kept = keepMetering(t, ['--capture', 'sockets', '--cgroup', cgroup, ...filter]);
    let session = await startLong(kept);
    const [inA, inB] = [
      { namespace: a, cgroup },
      { namespace: b, cgroup },
    ];
    const server = startGenerator(t, inB, 'udp-server', '--count', 1_000_000_000);
    const { port } = await server.report('ready');
    const to = ['--to', b.ipv4, '--port', Number(port), '--count', 1_000_000, '--pause', 1];
    const early = startGenerator(t, inA, ['udp-client', 'early'], ...to);
    await untilSent(a, 100);
    await session.stop('SIGKILL');
    await untilSent(a, 100);
    const late = startGenerator(t, inA, ['udp-client', 'late'], ...to);
    for (let kill = 0; kill < 2; kill++) {
      await untilSent(a, 100);
      session = await startLong(kept);
      await untilSent(a, 100);
      await session.stop('SIGKILL');
    }
    await Promise.all([early.stop(), late.stop()]);
    const sent = datagrams(a, 'OutDatagrams');
    while (datagrams(b, 'InDatagrams') + datagrams(b, 'InErrors') < sent) await delay(5);
    await server.stop();

    const flows = await kept.flowsOf(2 * sent, (flow) => flow.destinationTransportPort === port);
    const named = (direction: string): string[] =>
      flows
        .filter(({ flowDirection }) => flowDirection === direction)
        .map(({ sourceProcess, destinationProcess }) => {
          const process = direction === 'egress' ? sourceProcess : destinationProcess;
          return process?.processName ?? '';
        });
    t.same(named('egress').sort(), ['early', 'late'], 'one record for each, with its process');
    t.same(named('ingress'), ['udp-server', 'udp-server'], 'and two at the server');
    for (const direction of ['egress', 'ingress']) {
      const seen = flows.filter(({ flowDirection }) => flowDirection === direction);
      t.equal(sumCaptured(seen).packets, sent, `each datagram once: ${direction}`);
    }
    const links = pinnedLinks(kept.directory);
    await kept.detach();
    await untilGone(links);
    t.notOk(existsSync(kept.directory));
  });
}

t.test('it may be killed at any moment of its start', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  turnOffloadOff(pair);
  const { a, b } = pair;
  const place = ['-i', a.interfaceName, '--netns', a.name, '--cgroup', cgroup];
  const kept = keepMetering(t, place);
  const first = await startLong(kept);
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
  await first.stop('SIGKILL');
  for (let delayMs = 100; delayMs <= 1500; delayMs += 100) {
    const killed = startProcflow(t, kept.arguments);
    await delay(delayMs);
    await killed.stop('SIGKILL');
  }
  await sender.stop();
  takeDown(pair);
  const wire = interfaceCounters(a);
  const packets = wire.sentPackets + wire.receivedPackets;
  t.equal(sumCaptured(await kept.flowsOf(packets)).packets, packets);
  const loads = readdirSync(kept.directory).filter((name) => name !== 'links');
  t.equal(loads.length, 1, `one load is left: ${loads.join()}`);
  await kept.detach();
});

t.test('what a session uses is neither used by another nor detached', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const namespace = createNamespace(t);
  const kept = keepMetering(t, ['-i', 'lo', '--netns', namespace.name, '--cgroup', cgroup]);
  const session = await startLong(kept);
  for (const args of [kept.arguments, ['detach', '--state', kept.directory]]) {
    const { end, err } = await runProcflow(t, args);
    t.equal(end.code, 1);
    t.match(err, /^procflow: lock state directory .*: EBUSY \(another procflow uses it; stop that/);
  }
  const pins = pinsBelow(kept.directory);
  const used = await runProcflow(t, ['doctor']);
  t.notMatch(used.out, kept.directory);
  await session.stop('SIGKILL');
  const left = await runProcflow(t, ['doctor']);
  t.match(left.out, `${kept.directory} is kept by no procflow that runs`);
  t.match(left.out, `procflow detach --state ${kept.directory}`);
  t.same(pinsBelow(kept.directory), pins, 'all of it is still there');
  await kept.detach();
  const again = await runProcflow(t, ['detach', '--state', kept.directory]);
  t.match(again.err, /ENOENT \(nothing is kept there\)/);
});

t.test(
  'without --state a kill leaves filters at most, which detach removes',
  { skip },
  async (t) => {
    const pair = createNamespacePair(t);
    const { a } = pair;
    const place = ['-i', a.interfaceName, '--netns', a.name, '--cgroup', createCgroup(t)];
    const live = startProcflow(t, ['live', ...place, '--attach', 'clsact']);
    await live.line('err', /metering/);
    const used = await runProcflow(t, ['detach', '--netns', a.name]);
    t.notMatch(used.out, 'removed', 'those that are in use stay');
    t.not(listFilters(a), '');
    await live.stop('SIGKILL');
    // Not ip netns exec, which mounts /sys anew.
    const [command, ...words] = PROCFLOW;
    const doctor = startIn(t, { namespace: a }, command, ...words, 'doctor');
    await doctor.success();
    t.match(doctor.out.join('\n'), `clsact filters at ${a.interfaceName}`);
    const { out } = await runProcflow(t, ['detach', '--netns', a.name]);
    t.match(out, `removed clsact filters from ${a.interfaceName}`);
    t.equal(listFilters(a), '');
  },
);

t.test('a start that fails leaves nothing, but what was there', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const namespace = createNamespace(t);
  const kept = keepMetering(t, ['-i', 'lo', '--netns', namespace.name, '--cgroup', cgroup]);
  const failing = [...kept.arguments, '-i', 'nothere'];
  const { end, err } = await runProcflow(t, failing);
  t.equal(end.code, 1);
  t.match(err, /meter interface nothere: ENODEV/);
  t.same(pinsBelow(kept.directory), []);
  const session = await startLong(kept);
  await session.stop();
  await runProcflow(t, failing);
  t.ok(pinsBelow(`${kept.directory}/links`).length > 10, 'metering goes on');
  await kept.detach();
});
