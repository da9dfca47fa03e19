// Both directions of real connections in one record, by who began them, with the process of this host.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import type { DecodedRecord } from '../support/decoder/decoded-message.js';
import { exportedRecords } from '../support/exported-messages.js';
import { runGenerator, startGenerator, type Place } from '../support/generators.js';
import {
  bringUp,
  createNamespace,
  createNamespacePair,
  interfaceCounters,
} from '../support/network-namespace.js';
import { startExport } from '../support/procflow.js';
import type { Report, Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';
import { emptiedUdpReceiver } from '../support/udp-receivers.js';

const skip = missingRequirement();
const KINDS = ['tcp', 'udp'] as const;
const PACKETS = 5;
/** biflowDirection (239) */
const INITIATOR = 1;

interface Conversation {
  readonly name: string;
  readonly client: Report;
  readonly server: Report;
}

async function converse(
  t: Teardown,
  kind: (typeof KINDS)[number],
  client: Place,
  server: Place,
  address: string,
): Promise<Conversation> {
  const count = kind === 'udp' ? ['--count', PACKETS] : [];
  const listener = startGenerator(
    t,
    server,
    `${kind}-server`,
    '--echo',
    '--address',
    address,
    ...count,
  );
  const listening = await listener.report('ready');
  const to = ['--to', address, '--port', Number(listening.port), '--read-echo', ...count];
  const report = await runGenerator(t, client, `${kind}-client`, ...to);
  await listener.success();
  return { name: `${kind} to ${address}`, client: report, server: listening };
}

/** A collector that keeps what it gets. */
async function startCollector(t: Teardown): Promise<{ port: number; messages: Buffer[] }> {
  const socket = createSocket('udp4');
  const messages: Buffer[] = [];
  socket.on('message', (message) => messages.push(message));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => {
    socket.close();
  });
  return { port: socket.address().port, messages };
}

function value(record: DecodedRecord | undefined, key: string): number {
  const octets = record?.fields.get(key);
  return octets === undefined ? NaN : Number(BigInt(`0x${octets.toString('hex')}`));
}

/** The records of a conversation, whichever way they go. */
function recordsOf(
  records: readonly DecodedRecord[],
  { client, server }: Conversation,
): DecodedRecord[] {
  const ports = [client.port, server.port].map(Number).sort((a, b) => a - b);
  return records.filter((record) => {
    const own = [value(record, '0/7'), value(record, '0/11')].sort((a, b) => a - b);
    return own[0] === ports[0] && own[1] === ports[1];
  });
}

type Assertions = Pick<typeof t, 'equal' | 'ok' | 'same'>;

function expectBiflow(
  t: Assertions,
  records: readonly DecodedRecord[],
  conversation: Conversation,
  pids: readonly number[],
): void {
  const { name, client } = conversation;
  const own = recordsOf(records, conversation);
  t.equal(own.length, 1, `${name}: one record`);
  const [record] = own;
  t.equal(value(record, '0/7'), client.port, `${name}: from the client`);
  t.equal(value(record, '0/239'), INITIATOR, `${name}: which began`);
  t.same([value(record, '35632/168'), value(record, '35632/375')], pids, `${name}: processes`);
  const packets = [value(record, '0/2'), value(record, '29305/2')];
  if (name.startsWith('udp')) t.same(packets, [PACKETS, PACKETS], name);
  else t.ok(Math.min(...packets) > 1, `${name}: ${packets.join()} packets`);
}

for (const local of ['client', 'server'] as const) {
  t.test(`on a wire, the ${local} is on this host`, { skip }, async (t) => {
    const cgroup = createCgroup(t);
    const pair = createNamespacePair(t);
    bringUp(pair);
    const [here, there] = [pair.a, pair.b].map((namespace) => ({ namespace, cgroup }));
    if (here === undefined || there === undefined) throw new Error('no pair');
    const { port, messages } = await startCollector(t);
    const interfaces = [pair.a.interfaceName];
    const where = { namespace: pair.a, interfaces, version: 10, port, cgroup } as const;
    const exporter = await startExport(t, { ...where, options: ['--biflow', 'yes'] });
    const [client, server] = local === 'client' ? [here, there] : [there, here];
    const { ipv4, ipv6 } = local === 'client' ? pair.b : pair.a;
    const conversations: Conversation[] = [];
    for (const address of [ipv4, ipv6]) {
      for (const kind of KINDS) {
        conversations.push(await converse(t, kind, client, server, address));
      }
    }
    await exporter.stop();
    await emptiedUdpReceiver(port);
    const records = exportedRecords(messages);
    for (const conversation of conversations) {
      const pids = local === 'client' ? [conversation.client.pid, 0] : [0, conversation.server.pid];
      expectBiflow(t, records, conversation, pids);
    }
  });
}

t.test('on loopback both processes are named', { skip }, async (t) => {
  const place = { namespace: createNamespace(t), cgroup: createCgroup(t) };
  const { port, messages } = await startCollector(t);
  const exporter = await startExport(t, {
    ...{ ...place, interfaces: ['lo'], version: 10, port },
    options: ['--biflow', 'yes'],
  });
  const conversations: Conversation[] = [];
  for (const address of ['127.0.0.1', '::1']) {
    for (const kind of KINDS) conversations.push(await converse(t, kind, place, place, address));
  }
  const wire = interfaceCounters({ name: place.namespace.name, interfaceName: 'lo' });
  const summary = await exporter.stop();
  await emptiedUdpReceiver(port);
  const records = exportedRecords(messages);
  const packets = records.flatMap((record) => [value(record, '0/2'), value(record, '29305/2')]);
  const sum = packets.reduce((total, count) => total + (Number.isNaN(count) ? 0 : count), 0);
  t.equal(sum, wire.sentPackets, 'every packet counts once');
  t.equal(summary.packets, wire.sentPackets);
  for (const conversation of conversations) {
    const { client, server } = conversation;
    expectBiflow(t, records, conversation, [client.pid, server.pid]);
  }
});
