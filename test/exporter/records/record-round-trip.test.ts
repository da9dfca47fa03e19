// Any flow record that goes in comes out of decoders that share nothing with the encoder, and any
// stream of them fills messages that keep to the limit.
import fc from 'fast-check';
import t from 'tap';
import { sequenceGaps } from '../../support/decoder/sequence-check.js';
import { decodeExport } from '../../support/exported-messages.js';
import { decodeRawNetflow9 } from '../../support/netflow9-decoder.js';
import type { FlowDescription, ProcessDescription } from '../../support/flow-description.js';
import { BOOT_EPOCH_MS, recordExport } from '../../support/recorded-export.js';

const hex = (octets: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: octets, maxLength: octets })
    .map((bytes) => Buffer.from(bytes).toString('hex'));
const unsigned = (octets: 1 | 2 | 4): fc.Arbitrary<number> =>
  fc.integer({ min: 0, max: 2 ** (8 * octets) - 1 });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
/** From boot to the fixed "now", in nanoseconds. */
const kernelTime = fc.integer({ min: 0, max: 3_600_000_500_000 });

const process_: fc.Arbitrary<ProcessDescription> = fc.record({
  pid: fc.integer({ min: 1, max: 2 ** 22 }),
  uid: unsigned(4),
  comm: fc.uint8Array({ minLength: 16, maxLength: 16 }),
});
const maybeProcess = fc.record({ process: process_ }, { requiredKeys: [] });

const flow: fc.Arbitrary<FlowDescription> = fc
  .record({
    ipVersion: fc.constantFrom(4 as const, 6 as const),
    sourceAddress: hex(16),
    destinationAddress: hex(16),
    protocol: unsigned(1),
    firstNs: kernelTime,
    lastNs: kernelTime,
    packets: u64,
    octets: u64,
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    flags: fc.subarray(['FLOW_FRAGMENTED', 'FLOW_ENDED', 'FLOW_LOOPBACK'] as const),
    sourceProcess: maybeProcess,
    destinationProcess: maybeProcess,
    sourcePort: unsigned(2),
    destinationPort: unsigned(2),
    icmpTypeCode: unsigned(2),
    interfaceIndex: unsigned(4),
    minLength: unsigned(2),
    maxLength: unsigned(2),
    tcpFlags: fc.integer({ min: 0, max: 0xfff }),
    vlanId: unsigned(2),
    innerVlanId: unsigned(2),
    minTtl: unsigned(1),
    maxTtl: unsigned(1),
    sourceMac: hex(6),
    destinationMac: hex(6),
    tos: unsigned(1),
    endReason: unsigned(1),
  })
  .map(({ sourceProcess, destinationProcess, ...rest }) => ({
    ...rest,
    ...(sourceProcess.process && { source: sourceProcess.process }),
    ...(destinationProcess.process && { destination: destinationProcess.process }),
  }));

type Fields = Readonly<Record<string, string>>;

function number(value: number | bigint, octets: number): string {
  return value.toString(16).padStart(2 * octets, '0');
}

function epoch(ns: number | bigint): number {
  return BOOT_EPOCH_MS + Number(BigInt(ns) / 1_000_000n);
}

/** The fields that both formats have in the same form, by IANA's number. */
function commonFields(flow: FlowDescription): Fields {
  const isLoopback = flow.flags?.includes('FLOW_LOOPBACK') ?? false;
  const index = number(flow.interfaceIndex ?? 0, 4);
  const addressDigits = flow.ipVersion === 4 ? 8 : 32;
  const source = flow.sourceAddress.slice(0, addressDigits);
  const destination = flow.destinationAddress.slice(0, addressDigits);
  const addresses: Record<string, string> =
    flow.ipVersion === 4 ? { 8: source, 12: destination } : { 27: source, 28: destination };
  return {
    ...addresses,
    1: number(flow.octets, 8),
    2: number(flow.packets, 8),
    4: number(flow.protocol, 1),
    5: number(flow.tos ?? 0, 1),
    6: number((flow.tcpFlags ?? 0) % 256, 1),
    7: number(flow.sourcePort ?? 0, 2),
    10: isLoopback || flow.direction === 'ingress' ? index : '00000000',
    11: number(flow.destinationPort ?? 0, 2),
    14: isLoopback || flow.direction === 'egress' ? index : '00000000',
    25: number(flow.minLength ?? 0, 2),
    26: number(flow.maxLength ?? 0, 2),
    52: number(flow.minTtl ?? 0, 1),
    53: number(flow.maxTtl ?? 0, 1),
    56: flow.sourceMac ?? '',
    58: number(flow.vlanId ?? 0, 2),
    60: number(flow.ipVersion, 1),
    61: flow.direction === 'ingress' ? '00' : '01',
    80: flow.destinationMac ?? '',
    136: number(flow.endReason ?? 0, 1),
    197: flow.flags?.includes('FLOW_FRAGMENTED') ? '20' : '00',
    245: number(flow.innerVlanId ?? 0, 2),
  };
}

const USER_ELEMENTS = { source: [168, 425], destination: [375, 426] } as const;

function processFields(flow: FlowDescription, key: (element: number) => string): Fields {
  const fields: Record<string, string> = {};
  for (const side of ['source', 'destination'] as const) {
    const [pid, uid] = USER_ELEMENTS[side];
    const owner = flow[side];
    fields[key(pid)] = number(owner?.pid ?? 0, 4);
    fields[key(uid)] = owner === undefined ? 'ffffffff' : number(owner.uid ?? 0, 4);
  }
  return fields;
}

function expectFields(actual: (key: string) => unknown, expected: Fields): void {
  for (const [key, value] of Object.entries(expected)) {
    if (actual(key) !== value) throw new Error(`${key}: ${String(actual(key))} is not ${value}`);
  }
}

/** Names are checked for their form; string-octets.test.ts has their contents. */
function expectName(octets: Buffer | undefined): void {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(octets);
  if (/["\\]|\p{Cc}/u.test(text.replace(/\0+$/, ''))) throw new Error(`name ${text}`);
}

const flows = fc.array(flow, { minLength: 1, maxLength: 40 });
const limit = fc.integer({ min: 512, max: 1500 });
/** Both encoders send the IPv4 flows of a batch first. */
function inOrder(all: readonly FlowDescription[]): FlowDescription[] {
  return [...all.filter((f) => f.ipVersion === 4), ...all.filter((f) => f.ipVersion === 6)];
}

t.test('any record survives IPFIX', async () => {
  const property = fc.asyncProperty(flows, limit, async (described, maxMessageOctets) => {
    const { sweep, transport } = await recordExport(10, { maxMessageOctets });
    await sweep(described);
    const messages = decodeExport(transport.messages);
    const records = messages.flatMap((message) => message.records);
    if (messages[0]?.sequenceNumber !== 0) throw new Error('first sequence number');
    if (sequenceGaps(messages).length > 0) throw new Error('sequence number');
    if (transport.messages.some(({ length }) => length > maxMessageOctets)) throw new Error('long');
    if (records.length !== described.length) throw new Error(`${records.length} records`);
    inOrder(described).forEach((flow, i) => {
      const fields = records[i]?.fields;
      const value = (key: string): string | undefined => fields?.get(key)?.toString('hex');
      expectFields((key) => value(`0/${key}`), {
        ...commonFields(flow),
        [flow.ipVersion === 4 ? 32 : 139]: number(flow.icmpTypeCode ?? 0, 2),
        152: number(epoch(flow.firstNs), 8),
        153: number(epoch(flow.lastNs), 8),
      });
      expectFields(
        value,
        processFields(flow, (element) => `35632/${element}`),
      );
      for (const element of [169, 372, 376, 377]) expectName(fields?.get(`35632/${element}`));
    });
  });
  await fc.assert(property, { numRuns: 150 });
});

t.test('any record survives NetFlow v9, as node-netflowv9 reads it', async () => {
  const property = fc.asyncProperty(flows, limit, async (described, maxMessageOctets) => {
    const { sweep, transport } = await recordExport(9, { maxMessageOctets });
    await sweep(described);
    const messages = decodeRawNetflow9(transport.messages);
    const records = messages.flatMap((message) => message.flows);
    const counts = messages.map(({ header }) => header.count);
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (total !== described.length + 2) throw new Error(`count is ${total} in all`);
    if (messages.some(({ header }, i) => header.sequence !== i)) throw new Error('sequence');
    if (transport.messages.some(({ length }) => length > maxMessageOctets)) throw new Error('long');
    if (transport.messages.some(({ length }) => length % 4 !== 0)) throw new Error('alignment');
    if (records.length !== described.length) throw new Error(`${records.length} records`);
    const [first] = messages;
    const zeroMs = (first?.header.seconds ?? 0) * 1000 - (first?.header.uptime ?? 0);
    inOrder(described).forEach((flow, i) => {
      const value = (key: string): unknown => records[i]?.[`unknown_type_${key}`];
      expectFields(value, {
        ...commonFields(flow),
        32: number(flow.icmpTypeCode ?? 0, 2),
        22: number(epoch(flow.firstNs) - zeroMs, 4),
        21: number(epoch(flow.lastNs) - zeroMs, 4),
      });
      expectFields(
        value,
        processFields(flow, (element) => String(57472 + element)),
      );
      for (const type of [40000, 57641, 57844, 57848, 57849]) {
        expectName(Buffer.from(String(value(String(type))), 'hex'));
      }
    });
  });
  await fc.assert(property, { numRuns: 150 });
});
