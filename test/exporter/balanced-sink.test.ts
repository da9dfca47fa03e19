// Flows divided among collectors by their connection.
import fc from 'fast-check';
import t from 'tap';
import { connectionHash, createBalancedSink } from '../../src/exporter/balanced-sink.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import type { FlowSink } from '../../src/flow/flow-sink.js';
import type { FlowRecordBatch } from '../../src/flow/flow-source.js';
import { CURL_FLOW, PING_FLOW } from '../support/described-flows.js';
import { flowBatch, type FlowDescription } from '../support/flow-description.js';

const PACKETS = FLOW_RECORD.fields.packets.offset;

/** Keeps the packets of each record, by which tests tell flows apart. */
class KeepingSink implements FlowSink {
  readonly packets: number[] = [];
  readonly calls: string[] = [];
  failure: Error | undefined;
  async write({ bytes, count }: FlowRecordBatch): Promise<void> {
    this.#fail('write');
    // Not at once: the others must not change what this one still reads.
    await new Promise(setImmediate);
    for (let i = 0; i < count; i++) {
      this.packets.push(bytes.readUInt32LE(i * FLOW_RECORD.size + PACKETS));
    }
  }
  async flush(): Promise<void> {
    this.#fail('flush');
  }
  async close(): Promise<void> {
    this.#fail('close');
  }
  #fail(call: string): void {
    this.calls.push(call);
    if (this.failure !== undefined) throw this.failure;
  }
}

function reversed(flow: FlowDescription): FlowDescription {
  const { sourceAddress, destinationAddress, sourcePort, destinationPort, ...rest } = flow;
  return {
    ...rest,
    direction: flow.direction === 'egress' ? 'ingress' : 'egress',
    sourceAddress: destinationAddress,
    destinationAddress: sourceAddress,
    ...(destinationPort !== undefined && { sourcePort: destinationPort }),
    ...(sourcePort !== undefined && { destinationPort: sourcePort }),
  };
}

function hashOf(flow: FlowDescription): number {
  return connectionHash(flowBatch([CURL_FLOW, flow]).bytes, FLOW_RECORD.size);
}

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const port = fc.integer({ min: 0, max: 0xffff });
const ipv4 = word.map((value) => value.toString(16).padStart(8, '0'));
const ipv6 = fc.array(ipv4, { minLength: 4, maxLength: 4 }).map((words) => words.join(''));

t.test('both directions of any connection, and all its records, are one number', async () => {
  const flow = fc.constantFrom(4 as const, 6 as const).chain((ipVersion) => {
    const address = ipVersion === 4 ? ipv4 : ipv6;
    return fc.record({
      ipVersion: fc.constant(ipVersion),
      sourceAddress: address,
      destinationAddress: address,
      sourcePort: port,
      destinationPort: port,
      protocol: fc.constantFrom(6, 17, 47, 132),
    });
  });
  fc.assert(
    fc.property(flow, word, (key, other) => {
      const described = { ...CURL_FLOW, ...key };
      const later = { ...described, packets: other, firstNs: other, tos: 3, interfaceIndex: 9 };
      const hash = hashOf(described);
      return hash === hashOf(reversed(described)) && hash === hashOf(later);
    }),
  );
});

t.test('an echo request and its reply belong together', async (t) => {
  // Type and code stand in the place of the destination port.
  const pairs = [
    { ...PING_FLOW, icmpTypeCode: 0x8000, destinationPort: 0x8000, reply: 0x8100 },
    {
      ...PING_FLOW,
      ...{ ipVersion: 4 as const, protocol: 1, sourceAddress: 'c0000201' },
      ...{ destinationAddress: 'c6336402', icmpTypeCode: 0x0800, destinationPort: 0x0800 },
      reply: 0,
    },
  ];
  for (const { reply, ...request } of pairs) {
    const answer = {
      ...request,
      ...{ icmpTypeCode: reply, destinationPort: reply },
      ...{
        sourceAddress: request.destinationAddress,
        destinationAddress: request.sourceAddress,
      },
    };
    t.equal(hashOf(request), hashOf(answer), `IPv${request.ipVersion}`);
    t.not(hashOf(request), hashOf({ ...answer, sourceAddress: 'c0000299' }));
  }
});

t.test('flows are spread evenly, also those that differ in one port or address', async (t) => {
  const hosts = Array.from({ length: 12_000 }, (_, i) => ({
    ...CURL_FLOW,
    sourceAddress: (0x0a00_0000 + i).toString(16).padStart(8, '0'),
  }));
  const ports = Array.from({ length: 12_000 }, (_, i) => ({
    ...CURL_FLOW,
    sourcePort: 20_000 + i,
  }));
  for (const flows of [hosts, ports]) {
    for (const count of [2, 3, 4, 7]) {
      const sinks = Array.from({ length: count }, () => new KeepingSink());
      await createBalancedSink(sinks).write(flowBatch(flows));
      const shares = sinks.map(({ packets }) => packets.length);
      const even = flows.length / count;
      // Five standard deviations of a fair throw.
      const most = 5 * Math.sqrt(even);
      t.ok(
        shares.every((share) => Math.abs(share - even) < most),
        shares.join(', '),
      );
    }
  }
});

t.test('each record goes to one sink, in order, also after a larger batch', async (t) => {
  const sinks = [new KeepingSink(), new KeepingSink(), new KeepingSink()];
  const sink = createBalancedSink(sinks);
  let packets = 0;
  for (const count of [3, 500, 0, 20]) {
    const flows = Array.from({ length: count }, () => {
      packets++;
      return { ...CURL_FLOW, packets, sourcePort: packets };
    });
    await sink.write(flowBatch(flows));
  }
  const all = sinks.flatMap((one) => one.packets);
  const expected = Array.from({ length: packets }, (_, i) => i + 1);
  t.same(
    [...all].sort((a, b) => a - b),
    expected,
  );
  for (const one of sinks)
    t.same(
      one.packets,
      [...one.packets].sort((a, b) => a - b),
    );
});

t.test('a batch is read as far as its records go, and not as its buffer does', async (t) => {
  const one = new KeepingSink();
  const { bytes } = flowBatch([CURL_FLOW, CURL_FLOW, CURL_FLOW]);
  await createBalancedSink([one]).write({ bytes, count: 2 });
  t.same(one.packets, [23, 23]);
});

t.test('an error of one sink keeps no other from its records, and is told', async (t) => {
  const sinks = [new KeepingSink(), new KeepingSink(), new KeepingSink()];
  const [first, second, third] = sinks;
  if (second === undefined) throw new Error('unreachable');
  second.failure = new Error('the second');
  const sink = createBalancedSink(sinks);
  const flows = Array.from({ length: 90 }, (_, i) => ({ ...CURL_FLOW, sourcePort: i }));
  await t.rejects(sink.write(flowBatch(flows)), { message: 'the second' });
  t.ok((first?.packets.length ?? 0) > 0 && (third?.packets.length ?? 0) > 0);
  await t.rejects(sink.flush(), { message: 'the second' });
  await t.rejects(sink.close(), { message: 'the second' });
  for (const one of sinks) t.same(one.calls, ['write', 'flush', 'close']);
});
