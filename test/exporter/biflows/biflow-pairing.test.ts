// Which records make a biflow, and who of the two has begun it, as our decoder reads what is sent.
import t from 'tap';
import {
  CLIENT,
  exportedBiflows,
  later,
  reverseOf,
  udp,
  type ExportedBiflow,
} from '../../support/biflow-records.js';
import { exportedRecords } from '../../support/exported-messages.js';
import type { FlowDescription } from '../../support/flow-description.js';
import { recordExport } from '../../support/recorded-export.js';

const BIFLOW = { templates: { isBiflow: true } } as const;
const CLIENT_ADDRESS = CLIENT.sourceAddress;
const SERVER_ADDRESS = CLIENT.destinationAddress;
const SERVER = reverseOf(CLIENT);
/** The same without the beginning of the connection. */
const MIDDLE = { ...CLIENT, tcpFlags: 0x10 };

const V6: FlowDescription = {
  ...CLIENT,
  ipVersion: 6,
  sourceAddress: '20010db8000000000000000000000002',
  destinationAddress: '20010db8000000000000000000000001',
};

function icmp(type: number, flow: FlowDescription): FlowDescription {
  const protocol = flow.ipVersion === 4 ? 1 : 58;
  const code = type * 256;
  const ports = { sourcePort: 0, destinationPort: code, icmpTypeCode: code };
  return { ...flow, ...ports, protocol, tcpFlags: 0, endReason: 1 };
}

const LOOPBACK: FlowDescription = {
  ...CLIENT,
  sourceAddress: '7f000001',
  destinationAddress: '7f000001',
  direction: 'egress',
  flags: ['FLOW_LOOPBACK'],
  interfaceIndex: 1,
};

/** Everything that goes out for one sweep of these flows, and what waited after it. */
async function exportFlows(flows: readonly FlowDescription[]): Promise<ExportedBiflow[]> {
  const { sweep, exporter, transport } = await recordExport(10, BIFLOW);
  await sweep(flows);
  await exporter.close();
  return exportedBiflows(transport.messages);
}

const PAIRS: readonly { name: string; flows: readonly [FlowDescription, FlowDescription] }[] = [
  { name: 'TCP', flows: [CLIENT, SERVER] },
  { name: 'TCP over IPv6', flows: [V6, reverseOf(V6)] },
  { name: 'UDP', flows: [udp(CLIENT), reverseOf(udp(CLIENT))] },
  {
    name: 'UDP between equal ports',
    flows: ((flow) => [flow, reverseOf(flow)] as const)({
      ...udp(CLIENT),
      sourcePort: 500,
      destinationPort: 500,
    }),
  },
  {
    name: 'a protocol without ports',
    flows: ((flow) => [flow, reverseOf(flow)] as const)({
      ...udp(CLIENT),
      protocol: 47,
      sourcePort: 0,
      destinationPort: 0,
    }),
  },
  { name: 'an echo', flows: [icmp(8, CLIENT), icmp(0, SERVER)] },
  { name: 'a timestamp', flows: [icmp(13, CLIENT), icmp(14, SERVER)] },
  { name: 'an echo over IPv6', flows: [icmp(128, V6), icmp(129, reverseOf(V6))] },
  { name: 'loopback', flows: [LOOPBACK, reverseOf(LOOPBACK)] },
  {
    name: 'loopback, where the answer is metered at its receiver',
    flows: [LOOPBACK, { ...reverseOf(LOOPBACK), direction: 'ingress' }],
  },
  { name: 'an echo to oneself', flows: [icmp(8, LOOPBACK), icmp(0, reverseOf(LOOPBACK))] },
];

for (const { name, flows } of PAIRS) {
  t.test(`${name}: both directions are one record, by initiator`, async (t) => {
    const [forward, reverse] = flows;
    for (const order of [
      [forward, reverse],
      [reverse, forward],
    ]) {
      t.same(await exportFlows(order), [
        {
          source: forward.sourceAddress.slice(0, forward.ipVersion === 4 ? 8 : 32),
          packets: 10,
          octets: 1000,
          reversePackets: 7,
          reverseOctets: 70_000,
          direction: 'initiator',
        },
      ]);
    }
  });
}

const STRANGERS: readonly { name: string; other: FlowDescription; flow?: FlowDescription }[] = [
  { name: 'another interface', other: { ...SERVER, interfaceIndex: 3 } },
  { name: 'another network namespace', other: { ...SERVER, networkNamespace: 1 } },
  { name: 'another protocol', other: udp(SERVER) },
  { name: 'another port', other: { ...SERVER, destinationPort: 40001 } },
  { name: 'another address', other: { ...SERVER, sourceAddress: 'c0000202' } },
  {
    name: 'the same direction of a packet that passes',
    other: { ...SERVER, direction: 'ingress' },
  },
  { name: 'the same end', other: CLIENT },
  { name: 'an echo of another one', flow: icmp(8, CLIENT), other: icmp(8, SERVER) },
  { name: 'an answer to something else', flow: icmp(8, CLIENT), other: icmp(14, SERVER) },
];

for (const { name, flow = CLIENT, other } of STRANGERS) {
  t.test(`${name} is no reverse`, async (t) => {
    const records = await exportFlows([flow, other]);
    t.equal(records.length, 2);
    t.ok(records.every(({ reversePackets }) => reversePackets === undefined));
  });
}

const ONE_WAY: readonly {
  name: string;
  flow: FlowDescription;
  direction: ExportedBiflow['direction'];
}[] = [
  {
    name: 'multicast',
    flow: { ...udp(CLIENT), destinationAddress: 'e00000fb' },
    direction: 'initiator',
  },
  {
    name: 'broadcast',
    flow: { ...udp(CLIENT), destinationAddress: 'ffffffff' },
    direction: 'initiator',
  },
  {
    name: 'broadcast on the link',
    flow: { ...udp(CLIENT), destinationMac: 'ffffffffffff' },
    direction: 'initiator',
  },
  {
    name: 'IPv6 multicast',
    flow: { ...udp(V6), destinationAddress: 'ff020000000000000000000000000001' },
    direction: 'initiator',
  },
  { name: 'an ICMP error', flow: icmp(3, CLIENT), direction: 'arbitrary' },
  { name: 'neighbour discovery', flow: icmp(135, V6), direction: 'arbitrary' },
  {
    name: 'a connection to itself',
    flow: { ...LOOPBACK, sourcePort: 443 },
    direction: 'initiator',
  },
];

for (const { name, flow, direction } of ONE_WAY) {
  t.test(`${name} does not wait for a reverse`, async (t) => {
    const { sweep, transport } = await recordExport(10, BIFLOW);
    await sweep([flow]);
    const [record] = exportedBiflows(transport.messages);
    t.match(record, { packets: 10, reversePackets: undefined, direction });
  });
}

const DIRECTIONS: readonly {
  name: string;
  flows: readonly FlowDescription[];
  source?: string;
  direction: ExportedBiflow['direction'];
}[] = [
  {
    name: 'the SYN that came first',
    flows: [{ ...CLIENT, firstNs: Number(SERVER.firstNs) + 1 }, SERVER],
    source: SERVER_ADDRESS,
    direction: 'initiator',
  },
  {
    name: 'a SYN that was refused',
    flows: [
      { ...CLIENT, tcpFlags: 0x02 },
      { ...SERVER, tcpFlags: 0x14 },
    ],
    direction: 'initiator',
  },
  {
    name: 'the middle of a TCP connection: nobody knows, the lower port is the destination',
    flows: [reverseOf(MIDDLE), MIDDLE],
    direction: 'arbitrary',
  },
  {
    name: 'a SYN with ACK alone in a pair: nobody knows',
    flows: [CLIENT, { ...SERVER, tcpFlags: 0x10 }],
    direction: 'arbitrary',
  },
  {
    name: 'the first datagram',
    flows: [udp(CLIENT), { ...reverseOf(udp(CLIENT)), firstNs: 1 }],
    source: SERVER_ADDRESS,
    direction: 'initiator',
  },
  {
    name: 'an unanswered SYN',
    flows: [{ ...CLIENT, tcpFlags: 0x02 }],
    direction: 'initiator',
  },
  { name: 'one direction of TCP alone: nobody knows', flows: [CLIENT], direction: 'arbitrary' },
  { name: 'an unanswered datagram', flows: [udp(CLIENT)], direction: 'initiator' },
  { name: 'an unanswered echo', flows: [icmp(8, CLIENT)], direction: 'initiator' },
  {
    name: 'an answer to an echo that was not seen',
    flows: [icmp(0, CLIENT)],
    direction: 'reverseInitiator',
  },
];

for (const { name, flows, source = CLIENT_ADDRESS, direction } of DIRECTIONS) {
  t.test(`who began: ${name}`, async (t) => {
    const records = await exportFlows(flows);
    t.match(records, [{ source, direction }]);
    t.equal(records.length, 1);
  });
}

t.test('a long connection keeps its direction over active timeouts', async (t) => {
  const { sweep, transport } = await recordExport(10, BIFLOW);
  const interim = (flow: FlowDescription): FlowDescription => ({ ...flow, endReason: 2 });
  await sweep([interim(CLIENT), interim(SERVER)]);
  // Nothing tells of the beginning, and the server's packet is the first of each interval.
  const middle = { ...interim(SERVER), tcpFlags: 0x10 };
  const answer = { ...reverseOf(middle), packets: 3, octets: 300 };
  await sweep([later(60, middle), later(60, answer)]);
  await sweep([later(120, answer), later(120, middle)]);
  await sweep([later(180, { ...answer, endReason: 3 }), later(180, { ...middle, endReason: 3 })]);
  t.match(exportedBiflows(transport.messages), [
    { source: CLIENT_ADDRESS, packets: 10, reversePackets: 7, direction: 'initiator' },
    { source: CLIENT_ADDRESS, packets: 3, reversePackets: 7, direction: 'initiator' },
    { source: CLIENT_ADDRESS, packets: 3, reversePackets: 7, direction: 'initiator' },
    { source: CLIENT_ADDRESS, packets: 3, reversePackets: 7, direction: 'initiator' },
  ]);
  await sweep([later(240, middle), later(240, answer)]);
  t.match(exportedBiflows(transport.messages).at(-1), { direction: 'arbitrary' }, 'it had ended');
});

t.test(
  'an interval with the server’s direction alone says that its destination began',
  async (t) => {
    const { sweep, exporter, transport } = await recordExport(10, BIFLOW);
    await sweep([
      { ...CLIENT, endReason: 2 },
      { ...SERVER, endReason: 2 },
    ]);
    await sweep([later(60, { ...SERVER, tcpFlags: 0x10 })]);
    await exporter.close();
    t.match(exportedBiflows(transport.messages), [
      { source: CLIENT_ADDRESS, direction: 'initiator' },
      { source: SERVER_ADDRESS, reversePackets: undefined, direction: 'reverseInitiator' },
    ]);
  },
);

t.test('who began is corrected by a record that began earlier', async (t) => {
  const { sweep, transport, clock } = await recordExport(10, BIFLOW);
  const alone = async (flow: FlowDescription): Promise<void> => {
    await sweep([{ ...udp(flow), endReason: 2 }]);
    clock.now += 2_500_000_000n;
    await sweep([]);
  };
  await alone(SERVER);
  await alone(CLIENT);
  await alone(later(60, SERVER));
  t.match(exportedBiflows(transport.messages), [
    { source: SERVER_ADDRESS, direction: 'initiator' },
    { source: CLIENT_ADDRESS, direction: 'initiator' },
    { source: SERVER_ADDRESS, direction: 'reverseInitiator' },
  ]);
});

t.test('datagrams after a long silence are another conversation', async (t) => {
  const { sweep, transport } = await recordExport(10, BIFLOW);
  const interim = (flow: FlowDescription): FlowDescription => ({ ...udp(flow), endReason: 2 });
  const [question, answer] = [interim(CLIENT), interim(SERVER)];
  const swapped = { ...answer, firstNs: Number(question.firstNs) - 1 };
  await sweep([question, answer]);
  await sweep([later(300, question), later(300, swapped)]);
  await sweep([later(700, question), later(700, swapped)]);
  t.match(exportedBiflows(transport.messages), [
    { source: CLIENT_ADDRESS, direction: 'initiator' },
    { source: CLIENT_ADDRESS, direction: 'initiator' },
    { source: SERVER_ADDRESS, direction: 'initiator' },
  ]);
});

t.test('memory for connections is bounded: those of longest ago are forgotten', async (t) => {
  const { sweep, transport } = await recordExport(10, { ...BIFLOW, biflowRecords: 4 });
  const pair = (sourcePort: number, tcpFlags: number): FlowDescription[] => {
    const flow = { ...CLIENT, sourcePort, tcpFlags, endReason: 2 };
    return [flow, reverseOf(flow)];
  };
  for (let port = 1001; port <= 1006; port++) await sweep(pair(port, 0x12));
  for (const port of [1001, 1006]) await sweep(pair(port, 0x10));
  const directions = exportedBiflows(transport.messages).map(({ direction }) => direction);
  t.same(directions.slice(0, 6), Array(6).fill('initiator'));
  t.same(directions.slice(6), ['arbitrary', 'initiator']);
});

t.test(
  'with the full profile the reverse direction has its own times, flags and lengths',
  async (t) => {
    const templates = { isBiflow: true, profile: 'full' } as const;
    const { sweep, transport } = await recordExport(10, { templates });
    const lengths = { minLength: 40, maxLength: 1500, minTtl: 64, maxTtl: 65, tos: 0x10 };
    const reverse = { minLength: 52, maxLength: 1400, minTtl: 57, maxTtl: 58, tos: 0x20 };
    await sweep([
      { ...CLIENT, ...lengths },
      { ...later(1, SERVER), ...reverse, tcpFlags: 0x1a, endReason: 1 },
    ]);
    const [record] = exportedRecords(transport.messages);
    const hex = (...keys: string[]): (string | undefined)[] =>
      keys.map((key) => record?.fields.get(key)?.toString('hex'));
    t.same(hex('0/5', '0/6', '0/25', '0/26', '0/52', '0/53', '0/136'), [
      '10',
      '1b',
      '0028',
      '05dc',
      '40',
      '41',
      '03',
    ]);
    const R = 29305;
    t.same(hex(`${R}/5`, `${R}/6`, `${R}/25`, `${R}/26`, `${R}/52`, `${R}/53`, `${R}/136`), [
      '20',
      '1a',
      '0034',
      '0578',
      '39',
      '3a',
      '01',
    ]);
    const start = record?.fields.get('0/152')?.readBigUInt64BE() ?? 0n;
    t.equal((record?.fields.get(`${R}/152`)?.readBigUInt64BE() ?? 0n) - start, 1000n);
    t.equal((record?.fields.get(`${R}/153`)?.readBigUInt64BE() ?? 0n) - start, 11_000n);
  },
);
