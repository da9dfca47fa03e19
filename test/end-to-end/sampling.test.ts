// --sampling with real traffic: exactly so many packets are metered, and the rest is counted.
import t from 'tap';
import { runGenerator, type Place } from '../support/generators.js';
import {
  bringUp,
  createNamespacePair,
  setOnBoth,
  type NamespacePair,
} from '../support/network-namespace.js';
import { runProcflow, startProcflow } from '../support/procflow.js';
import type { Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { converse, sumCaptured, type CapturedFlow } from '../support/socket-capture.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const PACKETS = 1000;
const PAYLOAD_OCTETS = 100;
const IP_OCTETS = 20 + 8 + PAYLOAD_OCTETS;
const AMOUNT = ['--count', PACKETS, '--size', PAYLOAD_OCTETS] as const;

/** A wire on which nothing is but what the test sends: no IPv6, so no neighbour discovery. */
function quietPair(t: Teardown): NamespacePair {
  const pair = createNamespacePair(t);
  bringUp(pair);
  setOnBoth(pair, 'net.ipv6.conf.all.disable_ipv6=1');
  return pair;
}

interface Sampled {
  readonly flows: readonly CapturedFlow[];
  readonly firstLine: string;
  /** What the summary says was not selected. */
  readonly passedOver: { readonly packets: number; readonly all: number; readonly octets: number };
}

async function startLive(t: Teardown, ...args: readonly string[]): Promise<() => Promise<Sampled>> {
  const never = ['--active-timeout', '600', '--idle-timeout', '600'];
  const live = startProcflow(t, ['live', '--json', ...never, ...args]);
  const firstLine = await live.line('err', /metering/);
  return async () => {
    await live.stop();
    const line = /sampled: (\d+) of (\d+) packets were not selected, with (\d+) octets/;
    const [, packets, all, octets] = line.exec(live.err.join('\n')) ?? [];
    return {
      flows: live.out.map((text) => JSON.parse(text) as CapturedFlow),
      firstLine,
      passedOver: { packets: Number(packets), all: Number(all), octets: Number(octets) },
    };
  };
}

function atInterface({ namespace, cgroup }: Required<Place>, name: string): string[] {
  return ['-i', name, '--netns', namespace.name, '--cgroup', cgroup];
}

t.test('1000 frames, every 10th: exactly 100 are metered', { skip }, async (t) => {
  const { a } = quietPair(t);
  const place = { namespace: a, cgroup: createCgroup(t) };
  const where = atInterface(place, a.interfaceName);
  const finish = await startLive(t, ...where, '--sampling', '10');
  // To a MAC address that is nobody's, so that nobody answers.
  const link = ['--interface', a.interfaceName, '--destination-mac', '02:00:00:00:00:42'];
  const ends = ['--source', '10.0.0.1', '--to', '10.0.0.2'];
  await runGenerator(t, place, 'frame-sender', ...link, ...ends, ...AMOUNT);
  const { flows, firstLine, passedOver } = await finish();

  t.match(firstLine, /metering veth0; sampling one packet in 10, by count; Ctrl-C/);
  t.equal(flows.length, 1);
  t.same(sumCaptured(flows), { packets: 100, octets: 100 * IP_OCTETS });
  t.same(passedOver, { packets: 900, all: PACKETS, octets: 900 * IP_OCTETS });
});

t.test('1000 datagrams of a socket, every 10th: exactly 100', { skip }, async (t) => {
  const pair = quietPair(t);
  const place = { namespace: pair.a, cgroup: createCgroup(t) };
  const finish = await startLive(
    t,
    ...['--capture', 'sockets', '--cgroup', place.cgroup, '--sampling', 'count:10'],
  );
  // The receiver is outside of the cgroup.
  const outside = { namespace: pair.b, cgroup: createCgroup(t) };
  const { client } = await converse(t, 'udp', [place, outside], pair.b.ipv4, {
    server: ['--count', PACKETS],
    client: AMOUNT,
  });
  const { flows, passedOver } = await finish();

  // 1000 out and 1000 back: each tenth of both together.
  t.same(sumCaptured(flows), { packets: 200, octets: 200 * IP_OCTETS });
  t.same(passedOver, { packets: 1800, all: 2 * PACKETS, octets: 1800 * IP_OCTETS });
  for (const { sourceProcess, destinationProcess } of flows) {
    t.equal((sourceProcess ?? destinationProcess)?.processId, client.pid);
  }
});

t.test('of offloaded TCP, packets and octets add up to all of it', { skip }, async (t) => {
  const pair = quietPair(t);
  const cgroup = createCgroup(t);
  const place = { namespace: pair.a, cgroup };
  const where = atInterface(place, pair.a.interfaceName);
  const finishAll = await startLive(t, ...where);
  const finishCount = await startLive(t, ...where, '--sampling', '7');
  const finishRandom = await startLive(t, ...where, '--sampling', 'random:7');
  const ends = [place, { namespace: pair.b, cgroup }] as const;
  await converse(t, 'tcp', ends, pair.b.ipv4, { client: ['--octets', 10_000_000] });
  const all = sumCaptured((await finishAll()).flows);
  t.ok(all.packets > 10_000);

  for (const finish of [finishCount, finishRandom]) {
    const { flows, passedOver } = await finish();
    const metered = sumCaptured(flows);
    t.equal(passedOver.all, all.packets);
    t.equal(metered.packets + passedOver.packets, all.packets);
    t.equal(metered.octets + passedOver.octets, all.octets);
    if (finish === finishCount) {
      t.equal(metered.packets, Math.floor(all.packets / 7));
    } else {
      const deviation = Math.sqrt((all.packets / 7) * (6 / 7));
      t.ok(Math.abs(metered.packets - all.packets / 7) < 5 * deviation, `${metered.packets}`);
    }
  }
});

t.test('with flow sampling a connection is there whole or not at all', { skip }, async (t) => {
  const pair = quietPair(t);
  const cgroup = createCgroup(t);
  const place = { namespace: pair.a, cgroup };
  const where = atInterface(place, pair.a.interfaceName);
  const finishAll = await startLive(t, ...where);
  const finish = await startLive(t, ...where, '--sampling', 'flow:4');
  const ends = [place, { namespace: pair.b, cgroup }] as const;
  const many = { server: ['--count', 400], client: ['--flows', 400] };
  await converse(t, 'udp', ends, pair.b.ipv4, many);
  const key = (flow: CapturedFlow): string =>
    `${flow.flowDirection} ${flow.sourceTransportPort} ${flow.destinationTransportPort}`;
  const whole = new Map((await finishAll()).flows.map((flow) => [key(flow), flow]));
  const { flows, firstLine } = await finish();

  t.match(firstLine, /sampling one flow in 4, by hash/);
  t.ok(flows.length > 50 && flows.length < 400, `${flows.length} of ${whole.size} flows`);
  for (const flow of flows) {
    t.same(sumCaptured([flow]), sumCaptured([whole.get(key(flow)) ?? flow]), key(flow));
  }
  const directions = flows.filter(({ flowDirection }) => flowDirection === 'egress');
  t.equal(2 * directions.length, flows.length, 'there and back');
});

t.test('what --sampling cannot do is refused at once', { skip }, async (t) => {
  const { end, err } = await runProcflow(t, ['live', '--sampling', 'every:10']);
  t.match(end, { code: 2 });
  t.match(err, /--sampling every:10: no such way of sampling \(give 10 or count:10/);
});
