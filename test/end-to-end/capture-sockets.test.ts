// --capture sockets: every network namespace at once, without attaching to an interface, and what is
// counted is what was on the wire.
import t from 'tap';
import { isMeteredAtSockets, pairAtSockets } from '../attribution/metered-at-sockets.js';
import {
  countArrivals,
  countSocketless,
  readArrivals,
  readSocketless,
} from '../attribution/wire-counters.js';
import { runGenerator, startIn, type Place } from '../support/generators.js';
import {
  bringUp,
  createNamespacePair,
  turnOffloadOff,
  type NamespacePair,
} from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import {
  captureAtInterface,
  captureAtSockets,
  converse,
  inodeOf,
  sumCaptured,
  type CapturedFlow,
  type Conversation,
} from '../support/socket-capture.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const KINDS = ['tcp', 'udp'] as const;
const FAMILIES = ['ipv4', 'ipv6'] as const;

function places({ a, b }: NamespacePair, cgroup: string): [Required<Place>, Required<Place>] {
  return [
    { namespace: a, cgroup },
    { namespace: b, cgroup },
  ];
}

t.test(
  'the same addresses in two pairs of namespaces are flows of their own',
  { skip },
  async (t) => {
    const cgroup = createCgroup(t);
    const pairs = [createNamespacePair(t), createNamespacePair(t)];
    for (const pair of pairs) {
      turnOffloadOff(pair);
      bringUp(pair);
      for (const side of [pair.a, pair.b]) {
        countArrivals(side, side.interfaceName, false);
        countSocketless(side);
      }
    }
    const capture = await captureAtSockets(t, cgroup);
    const conversations = new Map<NamespacePair, Conversation[]>();
    for (const pair of pairs) {
      const held: Conversation[] = [];
      for (const family of FAMILIES) {
        for (const kind of KINDS) {
          held.push(await converse(t, kind, places(pair, cgroup), pair.b[family]));
        }
      }
      conversations.set(pair, held);
    }
    const flows = await capture.stop();

    for (const [pair, held] of conversations) {
      const inA = flows.filter((flow) => flow.networkNamespace === inodeOf(pair.a));
      const inB = flows.filter((flow) => flow.networkNamespace === inodeOf(pair.b));
      const wire = readArrivals([pair.a, pair.b]);
      for (const family of FAMILIES) {
        for (const [from, to] of [[pair.a, pair.b] as const, [pair.b, pair.a] as const]) {
          const passed = (flow: CapturedFlow): boolean =>
            flow.sourceAddress === from[family] && flow.destinationAddress === to[family];
          const addresses = `${from[family]} ${to[family]}`;
          for (const [side, seen] of [[pair.a, inA] as const, [pair.b, inB] as const]) {
            const metered = sumCaptured(seen.filter(passed));
            const socketless = readSocketless(side);
            const counts = pairAtSockets(addresses, { wire, metered, socketless });
            t.ok(isMeteredAtSockets(counts), `${addresses} in ${side.name}`, { found: counts });
          }
          t.ok(wire.get(addresses));
        }
      }
      for (const { client, server } of held) {
        const there = (flow: CapturedFlow): boolean => flow.sourceTransportPort === client.port;
        const back = (flow: CapturedFlow): boolean => flow.destinationTransportPort === client.port;
        const asker = { processId: client.pid };
        const answerer = { processId: server.pid };
        const sent = { flowDirection: 'egress', interfaceIndex: 2 };
        const received = { flowDirection: 'ingress', interfaceIndex: 2 };
        t.match(inA.filter(there), [{ ...sent, sourceProcess: asker, destinationProcess: null }]);
        t.match(inB.filter(there), [
          { ...received, sourceProcess: null, destinationProcess: answerer },
        ]);
        t.match(inB.filter(back), [{ ...sent, sourceProcess: answerer, destinationProcess: null }]);
        t.match(inA.filter(back), [
          { ...received, sourceProcess: null, destinationProcess: asker },
        ]);
      }
    }
  },
);

t.test('with offload on, both capture modes count the same', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  bringUp(pair);
  const [a, b] = places(pair, cgroup);
  const atSockets = await captureAtSockets(t, cgroup);
  const atInterface = await captureAtInterface(t, a, pair.a.interfaceName);
  const big = { client: ['--octets', 30_000_000] };
  for (const family of FAMILIES) {
    await converse(t, 'tcp', [a, b], pair.b[family], big);
    await converse(t, 'tcp', [b, a], pair.a[family], big);
    const many = ['--count', 200, '--size', 1000] as const;
    await converse(t, 'udp', [a, b], pair.b[family], { server: ['--count', 200], client: many });
  }
  const bySockets = (await atSockets.stop()).filter(
    (flow) => flow.networkNamespace === inodeOf(pair.a),
  );
  const byInterface = (await atInterface.stop()).filter(
    ({ protocolIdentifier }) => protocolIdentifier === 6 || protocolIdentifier === 17,
  );

  t.ok(sumCaptured(byInterface).packets > 100_000);
  t.equal(bySockets.length, byInterface.length);
  for (const flow of byInterface) {
    const same = bySockets.filter(
      (other) =>
        other.protocolIdentifier === flow.protocolIdentifier &&
        other.flowDirection === flow.flowDirection &&
        other.sourceAddress === flow.sourceAddress &&
        other.sourceTransportPort === flow.sourceTransportPort &&
        other.destinationTransportPort === flow.destinationTransportPort,
    );
    t.same(sumCaptured(same), sumCaptured([flow]), `${flow.flowDirection} ${flow.sourceAddress}`);
  }
});

t.test('nothing is lost while flows expire in the middle of transfers', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  bringUp(pair);
  const [a, b] = places(pair, cgroup);
  const capture = await captureAtSockets(t, cgroup, 0.1);
  const big = { client: ['--octets', 200_000_000] };
  await Promise.all([
    converse(t, 'tcp', [a, b], pair.b.ipv4, big),
    converse(t, 'tcp', [b, a], pair.a.ipv6, big),
  ]);
  const flows = (await capture.stop()).filter(({ protocolIdentifier }) => protocolIdentifier === 6);

  t.ok(flows.length > 8, `${flows.length} records of the 8 flows`);
  for (const [from, to] of [[pair.a, pair.b] as const, [pair.b, pair.a] as const]) {
    for (const family of FAMILIES) {
      const passed = flows.filter(({ sourceAddress }) => sourceAddress === from[family]);
      const sent = passed.filter(({ networkNamespace }) => networkNamespace === inodeOf(from));
      const received = passed.filter(({ networkNamespace }) => networkNamespace === inodeOf(to));
      t.same(sumCaptured(sent), sumCaptured(received), `${from.name} ${family}`);
      t.ok(sumCaptured(sent).octets > 200_000_000);
    }
  }
});

t.test('where one end is outside of the cgroup, the other end is metered', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  bringUp(pair);
  const outside = { namespace: pair.b, cgroup: createCgroup(t) };
  const capture = await captureAtSockets(t, cgroup);
  const ends = [{ namespace: pair.a, cgroup }, outside] as const;
  const { client } = await converse(t, 'udp', ends, pair.b.ipv4);
  const flows = await capture.stop();

  const own = { processId: client.pid };
  const here = { networkNamespace: inodeOf(pair.a), packetDeltaCount: 1 };
  const there = flows.filter(({ flowDirection }) => flowDirection === 'egress');
  t.match(there, [{ ...here, sourceProcess: own, destinationProcess: null }]);
  const back = flows.filter(({ flowDirection }) => flowDirection === 'ingress');
  t.match(back, [{ ...here, sourceProcess: null, destinationProcess: own }]);
});

t.test('a datagram is one packet, however it is fragmented on its way', { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  bringUp(pair);
  const capture = await captureAtSockets(t, cgroup);
  const large = { client: ['--size', 4000] };
  for (const family of FAMILIES) {
    await converse(t, 'udp', places(pair, cgroup), pair.b[family], large);
  }
  const flows = await capture.stop();

  const seen = flows.filter(({ protocolIdentifier }) => protocolIdentifier === 17);
  t.equal(seen.length, 8, 'there and back, at either end, in either version');
  for (const { sourceAddress, packetDeltaCount, octetDeltaCount } of seen) {
    t.equal(packetDeltaCount, 1);
    t.equal(octetDeltaCount, 4008 + (sourceAddress.includes(':') ? 40 : 20));
  }
});

t.test(
  'thousands of flows from either end at once are counted to the packet',
  { skip },
  async (t) => {
    const cgroup = createCgroup(t);
    const pair = createNamespacePair(t);
    bringUp(pair);
    const [a, b] = places(pair, cgroup);
    const capture = await captureAtSockets(t, cgroup);
    const flows = 3000;
    const many = { server: ['--count', flows], client: ['--flows', flows] };
    await Promise.all([
      converse(t, 'udp', [a, b], pair.b.ipv4, many),
      converse(t, 'udp', [b, a], pair.a.ipv4, many),
      converse(t, 'udp', [a, b], pair.b.ipv6, many),
      converse(t, 'udp', [b, a], pair.a.ipv6, many),
    ]);
    const records = (await capture.stop()).filter(
      ({ protocolIdentifier }) => protocolIdentifier === 17,
    );

    // Not the number of records: a port can serve twice.
    t.equal(sumCaptured(records).packets, 4 * 4 * flows, 'there and back, at either end');
    const seen = new Map<string, number>();
    for (const flow of records) {
      const ports = `${flow.sourceTransportPort} ${flow.destinationTransportPort}`;
      const key = `${flow.sourceAddress} ${flow.destinationAddress} ${ports}`;
      const sign = flow.flowDirection === 'egress' ? 1 : -1;
      seen.set(key, (seen.get(key) ?? 0) + sign * flow.packetDeltaCount);
    }
    const different = [...seen].filter(([, count]) => count !== 0);
    t.same(different, [], 'as many were received as were sent, in each flow');
  },
);

// The kernel's own sockets are made with the namespace, and stand in the cgroup of who made it.
t.test("what the kernel sends by a socket of its own is the kernel's", { skip }, async (t) => {
  const cgroup = createCgroup(t);
  const here = { namespace: { name: '', path: '/proc/self/ns/net' }, cgroup };
  const name = `procflow-kernel-${process.pid}`;
  await startIn(t, here, 'ip', 'netns', 'add', name).success();
  const namespace = { name, path: `/run/netns/${name}` };
  t.teardown(() =>
    startIn(t, here, 'ip', 'netns', 'del', name)
      .success()
      .then(() => undefined),
  );
  const capture = await captureAtSockets(t, cgroup);
  const ends = ['veth0', 'type', 'veth', 'peer', 'name', 'veth1'];
  for (const command of [
    ['link', 'add', ...ends],
    ['link', 'set', 'veth0', 'up'],
    ['link', 'set', 'veth1', 'up'],
    ['addr', 'add', 'fd97::1/64', 'dev', 'veth0', 'nodad'],
  ]) {
    await startIn(t, here, 'ip', '-n', name, ...command).success();
  }
  const place = { namespace, cgroup };
  const unknownNeighbour = ['--to', 'fd97::2', '--port', 9];
  await runGenerator(t, place, 'udp-client', ...unknownNeighbour);
  const flows = await capture.stop();

  const NEIGHBOUR_SOLICITATION = 135;
  const solicitations = flows.filter(
    ({ protocolIdentifier, icmpTypeCode }) =>
      protocolIdentifier === 58 && icmpTypeCode >> 8 === NEIGHBOUR_SOLICITATION,
  );
  t.ok(solicitations.length > 0);
  for (const { networkNamespace, sourceProcess } of solicitations) {
    t.equal(networkNamespace, inodeOf(namespace));
    t.same(sourceProcess, { attribution: 'kernel' });
  }
});
