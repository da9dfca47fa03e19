import t from 'tap';
import { AttributionCount } from '../../src/daemon/attribution-count.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../support/described-flows.js';
import { flowBatch, type FlowDescription } from '../support/flow-description.js';

function count(flows: readonly FlowDescription[]): ReturnType<AttributionCount['summary']> {
  const { bytes } = flowBatch(flows);
  const counts = new AttributionCount();
  const view = new FlowRecord();
  flows.forEach((_flow, i) => counts.add(view.at(bytes, i * FLOW_RECORD.size)));
  return counts.summary();
}

t.test('packets and records by the method of the side that is on this host', async (t) => {
  const summary = count([
    { ...CURL_FLOW, packets: 2 ** 40, destination: { method: 'ATTRIBUTION_KERNEL' } },
    { ...CURL_FLOW, packets: 3 },
    { ...PING_FLOW, packets: 5, destination: { method: 'ATTRIBUTION_KERNEL' } },
  ]);
  t.same(summary, {
    methods: {
      ATTRIBUTION_SOCKET: { packets: 2 ** 40 + 3, records: 2 },
      ATTRIBUTION_KERNEL: { packets: 5, records: 1 },
    },
    unknownPackets: {},
  });
});

t.test('on loopback both sides count', async (t) => {
  const destination = { pid: 1, method: 'ATTRIBUTION_SNAPSHOT' } as const;
  t.same(count([{ ...LOOPBACK_FLOW, packets: 7, destination }]).methods, {
    ATTRIBUTION_SOCKET: { packets: 7, records: 1 },
    ATTRIBUTION_SNAPSHOT: { packets: 7, records: 1 },
  });
});

t.test('packets that stayed unknown count by their reason', async (t) => {
  const summary = count([
    { ...PING_FLOW, packets: 2, destination: { reason: 'REASON_NO_OWNER' } },
    { ...PING_FLOW, packets: 3, destination: { reason: 'REASON_NO_OWNER' } },
    { ...PING_FLOW, packets: 4 },
    { ...CURL_FLOW, packets: 9 },
  ]);
  t.same(summary.methods.ATTRIBUTION_UNKNOWN, { packets: 9, records: 3 });
  t.same(summary.unknownPackets, { REASON_NO_OWNER: 5, REASON_NONE: 4 });
});

t.test('without a flow there is nothing to count', async (t) => {
  t.same(count([]), { methods: {}, unknownPackets: {} });
});
