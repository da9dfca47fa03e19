// How long and how many records wait for their reverse, that each goes out once, and whose it is.
import fc from 'fast-check';
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
import type { FlowDescription, ProcessDescription } from '../../support/flow-description.js';
import { recordExport } from '../../support/recorded-export.js';

const BIFLOW = { templates: { isBiflow: true } } as const;
const SERVER = reverseOf(CLIENT);
const MS = 1_000_000n;

t.test('a reverse that comes within the window is joined, in another sweep too', async (t) => {
  const { sweep, clock, transport, exporter } = await recordExport(10, BIFLOW);
  await sweep([CLIENT]);
  clock.now += 2499n * MS;
  await sweep([SERVER]);
  t.match(exportedBiflows(transport.messages), [{ packets: 10, reversePackets: 7 }]);
  t.match(exporter.statistics(), { records: 1, biflows: 1, crowdedOutRecords: 0 });
});

t.test('a record whose reverse does not come goes alone at the end of the window', async (t) => {
  const { sweep, clock, transport } = await recordExport(10, { ...BIFLOW, biflowWindowMs: 700 });
  const sent = (): ExportedBiflow[] => exportedBiflows(transport.messages);
  await sweep([CLIENT]);
  clock.now += 699n * MS;
  await sweep([udp(CLIENT)]);
  t.same(sent(), []);
  clock.now += MS;
  await sweep([SERVER]);
  t.match(sent(), [{ packets: 10, reversePackets: 7 }], 'just in time');
  t.equal(sent().length, 1);
  clock.now += 700n * MS;
  await sweep([]);
  t.match(sent()[1], { packets: 10, reversePackets: undefined });
  await sweep([reverseOf(udp(CLIENT))]);
  t.equal(sent().length, 2, 'too late: it waits for a reverse of its own');
});

t.test('the next interval of one direction sends the one before alone', async (t) => {
  const { sweep, exporter, transport } = await recordExport(10, BIFLOW);
  const interim = { ...CLIENT, endReason: 2 };
  await sweep([interim, later(10, { ...interim, packets: 11 })]);
  await sweep([later(10, SERVER)]);
  t.match(exportedBiflows(transport.messages), [
    { packets: 10, reversePackets: undefined },
    { packets: 11, reversePackets: 7 },
  ]);
  t.equal(exporter.statistics().crowdedOutRecords, 0);
});

t.test('when too many wait the oldest goes alone, and that is counted', async (t) => {
  const { sweep, exporter, transport } = await recordExport(10, { ...BIFLOW, biflowRecords: 2 });
  const flows = [1, 2, 3, 4].map((sourcePort) => ({ ...CLIENT, sourcePort, packets: sourcePort }));
  await sweep(flows);
  t.match(exportedBiflows(transport.messages), [{ packets: 1 }, { packets: 2 }]);
  await sweep(flows.map(reverseOf).reverse());
  await exporter.close();
  const records = exportedBiflows(transport.messages);
  t.same(
    records.map(({ packets, reversePackets }) => [packets, reversePackets]),
    [
      [1, undefined],
      [2, undefined],
      [4, 7],
      [3, 7],
      [7, undefined],
      [7, undefined],
    ],
  );
  t.match(exporter.statistics(), { records: 6, biflows: 2, crowdedOutRecords: 2 });
});

t.test('what is lost is counted with both directions', async (t) => {
  const { sweep, exporter, transport } = await recordExport(10, BIFLOW);
  await sweep([udp(CLIENT), reverseOf(udp(CLIENT))]);
  transport.failure = new Error('the network is down');
  await sweep([CLIENT, SERVER]);
  t.match(exporter.statistics(), { lostRecords: 1, lostPackets: 17, lostOctets: 71_000 });
});

t.test('only IPFIX has biflows', async (t) => {
  for (const version of [1, 5, 9] as const) {
    await t.rejects(recordExport(version, BIFLOW), {
      name: 'ExportError',
      code: 'bad-option',
      message: `export biflows in NetFlow v${version}: only IPFIX has both directions in one record: choose version 10`,
    });
  }
  await t.rejects(recordExport(10, { ...BIFLOW, biflowWindowMs: -1 }), { code: 'bad-option' });
  await t.rejects(recordExport(10, { ...BIFLOW, biflowRecords: 0 }), { code: 'bad-option' });
});

const NGINX = { pid: 50, uid: 33, comm: 'nginx' } as const;
const LOOPBACK = { flags: ['FLOW_LOOPBACK'], direction: 'egress', interfaceIndex: 1 } as const;

const OWNERS: readonly {
  name: string;
  forward: Partial<FlowDescription>;
  reverse: Partial<FlowDescription>;
  /** Process ids of source and destination, and dataRecordsReliability (276). */
  expected: readonly [number, number, 'certain' | 'inferred'];
}[] = [
  {
    name: 'the forward record’s own process',
    forward: { destination: { ...NGINX, pid: 51 } },
    reverse: { source: NGINX },
    expected: [0, 51, 'certain'],
  },
  {
    name: 'the reverse’s, where the forward record has none',
    forward: { destination: { reason: 'REASON_NO_SOCKET' } },
    reverse: { source: NGINX },
    expected: [0, 50, 'inferred'],
  },
  {
    name: 'none, where several share the socket',
    forward: { destination: { reason: 'REASON_SHARED' } },
    reverse: { source: NGINX },
    expected: [0, 0, 'certain'],
  },
  {
    name: 'none, where the reverse’s has shared the socket',
    forward: { destination: { reason: 'REASON_NO_OWNER' } },
    reverse: { source: { ...NGINX, flags: ['OWNER_SHARED'] } },
    expected: [0, 0, 'certain'],
  },
  {
    name: 'none, where fragments may be those of several',
    forward: { destination: { reason: 'REASON_FRAGMENT' } },
    reverse: { source: NGINX },
    expected: [0, 0, 'certain'],
  },
  {
    name: 'none, where the kernel received',
    forward: { destination: { method: 'ATTRIBUTION_KERNEL' } },
    reverse: { source: NGINX },
    expected: [0, 0, 'certain'],
  },
  {
    name: 'none, where it was forwarded',
    forward: { destination: { method: 'ATTRIBUTION_FORWARDED' } },
    reverse: { source: NGINX },
    expected: [0, 0, 'certain'],
  },
  {
    name: 'none, where the reverse’s is a conclusion itself',
    forward: { destination: { reason: 'REASON_NO_SOCKET' } },
    reverse: { source: { ...NGINX, method: 'ATTRIBUTION_LISTENER' } },
    expected: [0, 0, 'certain'],
  },
  {
    name: 'none on the other host',
    forward: { destination: NGINX },
    reverse: { destination: { pid: 60 } },
    expected: [0, 50, 'certain'],
  },
  {
    name: 'on loopback both, each from where it is known',
    forward: { ...LOOPBACK, source: { pid: 40 } },
    reverse: { ...LOOPBACK, source: NGINX },
    expected: [40, 50, 'inferred'],
  },
];

for (const { name, forward, reverse, expected } of OWNERS) {
  t.test(`process of the local side: ${name}`, async (t) => {
    const { sweep, transport } = await recordExport(10, BIFLOW);
    await sweep([
      { ...SERVER, ...reverse },
      { ...CLIENT, ...forward },
    ]);
    const fields = exportedRecords(transport.messages)[0]?.fields;
    t.equal(fields?.get('0/8')?.toString('hex'), CLIENT.sourceAddress);
    t.same(
      [
        fields?.get('35632/168')?.readUInt32BE(),
        fields?.get('35632/375')?.readUInt32BE(),
        fields?.get('0/276')?.[0] === 1 ? 'certain' : 'inferred',
      ],
      expected,
    );
  });
}

const maybeProcess: fc.Arbitrary<ProcessDescription> = fc.record({ pid: fc.nat(3) });
/** Few addresses, ports and types, so that many are each other's reverse. */
const anyFlow: fc.Arbitrary<FlowDescription> = fc
  .record({
    ipVersion: fc.constantFrom(4 as const, 6 as const),
    sourceAddress: fc.constantFrom('7f000001', 'c0000201', 'e00000fb'),
    destinationAddress: fc.constantFrom('7f000001', 'c0000201', 'e00000fb'),
    protocol: fc.constantFrom(1, 6, 17, 47, 58),
    firstNs: fc.integer({ min: 0, max: 100 }),
    lastNs: fc.integer({ min: 100, max: 4e11 }),
    packets: fc.integer({ min: 1, max: 1000 }),
    octets: fc.integer({ min: 20, max: 1e6 }),
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    flags: fc.subarray(['FLOW_FRAGMENTED', 'FLOW_LOOPBACK'] as const),
    sourcePort: fc.constantFrom(0, 53, 40000),
    destinationPort: fc.constantFrom(0, 53, 40000),
    type: fc.constantFrom(0, 3, 8, 128, 129),
    tcpFlags: fc.constantFrom(0x02, 0x10, 0x12, 0x14),
    interfaceIndex: fc.constantFrom(1, 2),
    endReason: fc.integer({ min: 1, max: 5 }),
    source: maybeProcess,
    destination: maybeProcess,
  })
  .map(({ type, ...flow }) => {
    const isIcmp = flow.protocol === 1 || flow.protocol === 58;
    const code = type * 256;
    return isIcmp ? { ...flow, sourcePort: 0, destinationPort: code, icmpTypeCode: code } : flow;
  });
const sweeps = fc.array(fc.array(anyFlow, { maxLength: 60 }), { minLength: 1, maxLength: 6 });
const room = fc.constantFrom(1, 5, 1000);

t.test('of any records each goes out once, with its packets and octets', async () => {
  const property = fc.asyncProperty(sweeps, room, async (all, biflowRecords) => {
    const options = { ...BIFLOW, biflowRecords, biflowWindowMs: 1500 };
    const { sweep, exporter, transport, clock } = await recordExport(10, options);
    let number = 0;
    // Packets that occur once tell a record from the others.
    const numbered = all.map((flows) => flows.map((flow) => ({ ...flow, packets: ++number })));
    for (const flows of numbered) {
      await sweep(flows);
      clock.now += 1000n * MS;
    }
    await exporter.close();
    const sent = exportedBiflows(transport.messages).flatMap((record) => [
      [record.packets, record.octets],
      ...(record.reversePackets === undefined
        ? []
        : [[record.reversePackets, record.reverseOctets]]),
    ]);
    const expected = numbered.flat().map(({ packets, octets }) => [packets, octets]);
    const inOrder = (pairs: (number | bigint | undefined)[][]): string =>
      JSON.stringify(pairs.sort(([a], [b]) => Number(a) - Number(b)));
    if (inOrder(sent) !== inOrder(expected)) throw new Error(`${sent.length} of ${number}`);
    const { records, biflows } = exporter.statistics();
    if (records + biflows !== number) throw new Error(`${records} and ${biflows} of ${number}`);
  });
  await fc.assert(property, { numRuns: 150 });
});
