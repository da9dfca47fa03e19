// --capture sockets on loopback: both ends are here, and each packet counts once, whichever of its
// ends is in the cgroup that is watched.
import t from 'tap';
import type { Place } from '../support/generators.js';
import { runGenerator, startGenerator } from '../support/generators.js';
import { createNamespace, interfaceCounters } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import {
  captureAtSockets,
  converse,
  sumCaptured,
  type CapturedFlow,
  type Conversation,
} from '../support/socket-capture.js';
import { createCgroup } from '../support/test-cgroup.js';

const skip = missingRequirement();
const ADDRESSES = ['127.0.0.1', '::1'] as const;
const KINDS = ['tcp', 'udp'] as const;
/** Where the sender is outside, its first packet comes before it was seen sending. */
const SOME = { server: ['--count', 3], client: ['--count', 3] };

/** Both processes on each of the two flows. */
function expectBoth(
  t: { match: (found: unknown, wanted: unknown, message: string) => boolean },
  flows: readonly CapturedFlow[],
  { client, server }: Conversation,
  name: string,
): void {
  const [asker, answerer] = [{ processId: client.pid }, { processId: server.pid }];
  const there = flows.filter((flow) => flow.sourceTransportPort === client.port);
  const back = flows.filter((flow) => flow.destinationTransportPort === client.port);
  t.match(there, [{ sourceProcess: asker, destinationProcess: answerer }], `${name}: there`);
  t.match(back, [{ sourceProcess: answerer, destinationProcess: asker }], `${name}: back`);
}

const WHERE = [
  { name: 'both ends in the cgroup', client: 'inside', server: 'inside' },
  { name: 'the client outside', client: 'outside', server: 'inside' },
  { name: 'the server outside', client: 'inside', server: 'outside' },
  { name: 'both in cgroups below it', client: 'below', server: 'below' },
  { name: 'one below, one outside', client: 'below', server: 'outside' },
] as const;

for (const { name, client, server } of WHERE) {
  t.test(`each packet counts once and has both processes: ${name}`, { skip }, async (t) => {
    const namespace = createNamespace(t);
    const watched = createCgroup(t);
    const places: Record<'inside' | 'outside' | 'below', Place> = {
      inside: { namespace, cgroup: watched },
      outside: { namespace, cgroup: createCgroup(t) },
      below: { namespace, cgroup: createCgroup(t, createCgroup(t, watched)) },
    };
    const capture = await captureAtSockets(t, watched);
    const held: Conversation[] = [];
    for (const address of ADDRESSES) {
      for (const kind of KINDS) {
        const ends = [places[client], places[server]] as const;
        held.push(await converse(t, kind, ends, address, kind === 'udp' ? SOME : {}));
      }
    }
    const { sentPackets: packets, sentOctets: octets } = interfaceCounters({
      name: namespace.name,
      interfaceName: 'lo',
    });
    const flows = await capture.stop();

    t.same(sumCaptured(flows), { packets, octets });
    for (const each of held)
      expectBoth(t, flows, each, `${each.client.comm} ${String(each.server.port)}`);
  });
}

t.test(
  'what passes between two processes outside of the cgroup is not metered',
  { skip },
  async (t) => {
    const namespace = createNamespace(t);
    const outside = { namespace, cgroup: createCgroup(t) };
    const capture = await captureAtSockets(t, createCgroup(t));
    for (const kind of KINDS) await converse(t, kind, [outside, outside], '127.0.0.1');
    t.same(await capture.stop(), []);
  },
);

t.test('sockets that were open before the start have their processes', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const place = { namespace, cgroup: createCgroup(t) };
  const server = startGenerator(t, place, 'tcp-server', '--echo', '--address', '127.0.0.1');
  const { port } = await server.report('ready');
  const to = ['--to', '127.0.0.1', '--port', Number(port), '--read-echo', '--wait'];
  const client = startGenerator(t, place, 'tcp-client', ...to);
  const connected = await client.report('ready');
  const capture = await captureAtSockets(t, place.cgroup);
  client.write('\n');
  await client.success();
  await server.success();
  const flows = await capture.stop();
  const there = flows.filter((flow) => flow.destinationTransportPort === port);
  t.match(there, [
    {
      sourceProcess: { processId: connected.pid },
      destinationProcess: { processId: server.pid },
    },
  ]);
});

t.test('echo requests and resets on loopback count once', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const place = { namespace, cgroup: createCgroup(t) };
  const capture = await captureAtSockets(t, place.cgroup);
  for (const address of ADDRESSES) {
    await runGenerator(t, place, 'icmp-echo', '--to', address, '--count', 5);
    const refused = startGenerator(t, place, 'tcp-client', '--to', address, '--port', 9);
    await refused.ended;
  }
  const { sentPackets: packets } = interfaceCounters({ name: namespace.name, interfaceName: 'lo' });
  const flows = await capture.stop();

  t.equal(sumCaptured(flows).packets, packets);
  const resets = flows.filter((flow) => flow.sourceTransportPort === 9);
  t.match(resets, [{ packetDeltaCount: 1 }, { packetDeltaCount: 1 }]);
});
