// The view on a kernel record: each getter reads its own field, addresses read as people write them.
import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import { flowBatch, type FlowDescription } from '../support/flow-description.js';

const FLOW: FlowDescription = {
  ipVersion: 4,
  sourceAddress: '0a000001',
  destinationAddress: 'c0000202',
  protocol: 6,
  firstNs: 1_000_000_001n,
  lastNs: 9_007_199_254_740_993n, // more than a double holds exactly
  packets: 2 ** 33 + 1,
  octets: 2 ** 40 + 3,
  direction: 'egress',
  flags: ['FLOW_ENDED'],
  source: {
    pid: 4_000_000_000,
    uid: 4_294_967_294,
    comm: 'curl',
    method: 'ATTRIBUTION_SNAPSHOT',
  },
  destination: { reason: 'REASON_OWNER_CHANGING' },
  networkNamespace: 4_026_531_840,
  sourcePort: 0x0102,
  destinationPort: 0xfffe,
  interfaceIndex: 7,
  tcpFlags: 0x1ff,
  endReason: 3,
};

void t.test('every getter reads its field', async (t) => {
  const record = new FlowRecord().at(flowBatch([FLOW]).bytes, 0);
  t.equal(record.ipVersion, 4);
  t.equal(record.address('source'), '10.0.0.1');
  t.equal(record.address('destination'), '192.0.2.2');
  t.equal(record.protocol, 6);
  t.equal(record.firstNs, 1_000_000_001n);
  t.equal(record.lastNs, 9_007_199_254_740_993n);
  t.equal(record.packets, 2 ** 33 + 1);
  t.equal(record.octets, 2 ** 40 + 3);
  t.equal(record.direction, 1);
  t.equal(record.flags, 2);
  t.equal(record.sourcePort, 0x0102);
  t.equal(record.destinationPort, 0xfffe);
  t.equal(record.interfaceIndex, 7);
  t.equal(record.tcpFlags, 0x1ff);
  t.equal(record.endReason, 3);
  t.equal(record.pid('source'), 4_000_000_000);
  t.equal(record.uid('source'), 4_294_967_294);
  t.equal(record.comm('source'), 'curl');
  t.ok(record.hasProcess('source'));
  t.notOk(record.hasProcess('destination'));
  t.equal(record.comm('destination'), '');
  t.equal(record.networkNamespace, 4026531840);
  t.equal(record.attributionMethod('source'), 2);
  t.equal(record.unknownReason('destination'), 3);
});

void t.test('an attribution is reliable when no process of this host was inferred', async (t) => {
  const owner = { pid: 1, uid: 0, comm: 'a' };
  const METHODS = [
    ['ATTRIBUTION_UNKNOWN', true],
    ['ATTRIBUTION_SOCKET', true],
    ['ATTRIBUTION_SNAPSHOT', true],
    ['ATTRIBUTION_LISTENER', false],
    ['ATTRIBUTION_REVERSE_FLOW', false],
    ['ATTRIBUTION_ICMP_ID', false],
    ['ATTRIBUTION_ICMP_ERROR', false],
    ['ATTRIBUTION_KERNEL', true],
    ['ATTRIBUTION_FORWARDED', true],
  ] as const;
  const isReliable = (flow: FlowDescription): boolean =>
    new FlowRecord().at(flowBatch([flow]).bytes, 0).isAttributionReliable;
  for (const [method, expected] of METHODS) {
    const source = { ...owner, method };
    const sure = { ...owner, method: 'ATTRIBUTION_SOCKET' } as const;
    const loopback = { ...FLOW, flags: ['FLOW_LOOPBACK'] } as const;
    t.equal(isReliable({ ...FLOW, source }), expected, method);
    t.equal(isReliable({ ...FLOW, source: sure, destination: source }), true, 'the local side');
    t.equal(isReliable({ ...loopback, source: sure, destination: source }), expected, 'the worse');
  }
});

void t.test('a process is looked for at the side that is on this host', async (t) => {
  const CASES = [
    { direction: 'egress', flags: [], source: true, destination: false },
    { direction: 'ingress', flags: [], source: false, destination: true },
    { direction: 'egress', flags: ['FLOW_LOOPBACK'], source: true, destination: true },
  ] as const;
  for (const { direction, flags, source, destination } of CASES) {
    const record = new FlowRecord().at(flowBatch([{ ...FLOW, direction, flags }]).bytes, 0);
    t.equal(record.isLocal('source'), source);
    t.equal(record.isLocal('destination'), destination);
  }
});

void t.test('one view moves from record to record', async (t) => {
  const { bytes } = flowBatch([FLOW, { ...FLOW, packets: 5 }]);
  const record = new FlowRecord();
  t.equal(record.at(bytes, FLOW_RECORD.size).packets, 5);
  t.equal(record.at(bytes, 0).packets, 2 ** 33 + 1);
});

void t.test('a name that fills its field has no NUL', async (t) => {
  const { bytes } = flowBatch([{ ...FLOW, source: { pid: 1, uid: 0, comm: 'sixteen-octets-!' } }]);
  t.equal(new FlowRecord().at(bytes, 0).comm('source'), 'sixteen-octets-!');
});

void t.test('IPv6 addresses are written as RFC 5952 wants them', async (t) => {
  const ADDRESSES = [
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['20010db8000000000000000000000000', '2001:db8::'],
    ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'], // the first of two equal runs
    ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'], // one group is not shortened
    ['20010000000000010000000000000001', '2001:0:0:1::1'], // the longer run
    ['fe80000000000000020000fffe000001', 'fe80::200:ff:fe00:1'],
  ] as const;
  for (const [sourceAddress, expected] of ADDRESSES) {
    const { bytes } = flowBatch([{ ...FLOW, ipVersion: 6, sourceAddress }]);
    t.equal(new FlowRecord().at(bytes, 0).address('source'), expected);
  }
});

void t.test('any IPv6 address reads back as itself', async (t) => {
  const hextet = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(hextet, { minLength: 8, maxLength: 8 }), (groups) => {
      const sourceAddress = groups.map((group) => group.toString(16).padStart(4, '0')).join('');
      const { bytes } = flowBatch([{ ...FLOW, ipVersion: 6, sourceAddress }]);
      const text = new FlowRecord().at(bytes, 0).address('source');
      const [head = '', tail] = text.split('::');
      const parts = (half: string): number[] =>
        half === '' ? [] : half.split(':').map((part) => parseInt(part, 16));
      const [before, after] = [parts(head), parts(tail ?? '')];
      const gap = tail === undefined ? 0 : 8 - before.length - after.length;
      const read = [...before, ...new Array<number>(gap).fill(0), ...after];
      return isIPv6(text) && read.every((group, i) => group === groups[i]);
    }),
  );
  t.pass('for a hundred addresses with many zeros');
});
