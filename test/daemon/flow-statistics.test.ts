import t from 'tap';
import { FlowStatistics } from '../../src/daemon/flow-statistics.js';
import { FLOW_END_REASON, FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';

const F = FLOW_RECORD.fields;
const { FLOW_END_IDLE_TIMEOUT: IDLE, FLOW_END_DETECTED: DETECTED } = FLOW_END_REASON;

interface Flow {
  readonly protocol: number;
  readonly endReason: number;
  readonly tcpFlags?: number;
  readonly octets?: number;
  readonly packets?: number;
  readonly durationMs?: number;
}

function record(flow: Flow): FlowRecord {
  const bytes = Buffer.alloc(FLOW_RECORD.size);
  const firstNs = 10_000_000_000n;
  bytes.writeBigUInt64LE(firstNs, F.first_ns.offset);
  bytes.writeBigUInt64LE(firstNs + BigInt(flow.durationMs ?? 0) * 1_000_000n, F.last_ns.offset);
  bytes.writeBigUInt64LE(BigInt(flow.octets ?? 0), F.octets.offset);
  bytes.writeBigUInt64LE(BigInt(flow.packets ?? 0), F.packets.offset);
  bytes.writeUInt8(flow.protocol, F.protocol.offset);
  bytes.writeUInt8(flow.endReason, F.end_reason.offset);
  bytes.writeUInt16LE(flow.tcpFlags ?? 0, F.tcp_flags.offset);
  return new FlowRecord().at(bytes, 0);
}

t.test("flows ended for one of softflowd's reasons", async (t) => {
  const cases = [
    { protocol: 6, endReason: IDLE, reason: 'tcp' },
    { protocol: 6, endReason: DETECTED, tcpFlags: 0x11, reason: 'tcp.fin' },
    { protocol: 6, endReason: DETECTED, tcpFlags: 0x14, reason: 'tcp.rst' },
    { protocol: 17, endReason: IDLE, reason: 'udp' },
    { protocol: 1, endReason: IDLE, reason: 'icmp' },
    { protocol: 58, endReason: IDLE, reason: 'icmp' },
    { protocol: 47, endReason: IDLE, reason: 'general' },
    { protocol: 17, endReason: FLOW_END_REASON.FLOW_END_ACTIVE_TIMEOUT, reason: 'maxlife' },
    { protocol: 17, endReason: FLOW_END_REASON.FLOW_END_LACK_OF_RESOURCES, reason: 'maxflows' },
    { protocol: 17, endReason: FLOW_END_REASON.FLOW_END_FORCED, reason: 'flushed' },
  ];
  for (const { reason, ...flow } of cases) {
    const statistics = new FlowStatistics();
    statistics.add(record(flow));
    const counted = Object.entries(statistics.summary().reasons).filter(([, count]) => count > 0);
    t.same(counted, [[reason, 1]]);
  }
});

t.test('sizes and lives are told by their extent, and by protocol', async (t) => {
  const statistics = new FlowStatistics();
  const ended = { endReason: IDLE };
  statistics.add(record({ ...ended, protocol: 17, octets: 100, packets: 2, durationMs: 500 }));
  statistics.add(record({ ...ended, protocol: 17, octets: 300, packets: 4, durationMs: 1500 }));
  statistics.add(record({ ...ended, protocol: 6, octets: 2 ** 40, packets: 9, durationMs: 4000 }));
  const { flows, octets, packets, durationS, protocols } = statistics.summary();
  t.equal(flows, 3);
  t.same(octets, { least: 100, average: (400 + 2 ** 40) / 3, most: 2 ** 40 });
  t.same(packets, { least: 2, average: 5, most: 9 });
  t.same(durationS, { least: 0.5, average: 2, most: 4 });
  t.same(protocols, [
    { protocol: 6, flows: 1, octets: 2 ** 40, packets: 9, averageLifeS: 4, longestLifeS: 4 },
    { protocol: 17, flows: 2, octets: 400, packets: 6, averageLifeS: 1, longestLifeS: 1.5 },
  ]);
});

t.test('without flows there are no extents', async (t) => {
  t.match(new FlowStatistics().summary(), { flows: 0, octets: undefined, protocols: [] });
});
