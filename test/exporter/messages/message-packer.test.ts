// Where messages and sets end.
import t from 'tap';
import { IPFIX } from '../../../src/exporter/messages/ipfix.js';
import { MessagePacker } from '../../../src/exporter/messages/message-packer.js';
import type { MessageFormat } from '../../../src/exporter/messages/message-format.js';
import { NETFLOW_V9 } from '../../../src/exporter/messages/netflow-v9.js';
import { createEncodingContext } from '../../../src/exporter/records/data-record.js';
import { compileRecordPlan } from '../../../src/exporter/records/record-plan.js';
import type { RecordPlan } from '../../../src/exporter/records/record-plan.js';
import { flowTemplate } from '../../../src/templates/flow-template.js';
import { CURL_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { flowBatch } from '../../support/flow-description.js';
import { DIRECTORY } from '../../support/recorded-export.js';

const { bytes } = flowBatch([CURL_FLOW, PING_FLOW]);
/** As the octet tests of both formats have it: 207 in v9; 113 in IPFIX. */
const CURL_OCTETS = { 9: 207, 10: 113 } as const;

interface Packing {
  readonly packer: MessagePacker;
  readonly ipv4: RecordPlan;
  readonly ipv6: RecordPlan;
}

function startPacking(format: MessageFormat, version: 9 | 10, limit: number): Packing {
  const ipv4 = compileRecordPlan(flowTemplate(version, 'ipv4'));
  const ipv6 = compileRecordPlan(flowTemplate(version, 'ipv6'));
  const context = createEncodingContext(DIRECTORY);
  return { packer: new MessagePacker(format, [ipv4, ipv6], limit, context), ipv4, ipv6 };
}

t.test('a message is filled to the last octet of the limit', async (t) => {
  const limit = 16 + 4 + 2 * CURL_OCTETS[10];
  const { packer, ipv4 } = startPacking(IPFIX, 10, limit);
  t.equal(packer.append(ipv4, bytes, 0), undefined);
  t.equal(packer.append(ipv4, bytes, 0), undefined);
  t.match(packer.append(ipv4, bytes, 0), { octets: limit, dataRecords: 2 });
  t.match(packer.finish(), { octets: limit - CURL_OCTETS[10], dataRecords: 1 });
  t.equal(packer.finish(), undefined);

  const tight = startPacking(IPFIX, 10, limit - 1);
  tight.packer.append(ipv4, bytes, 0);
  t.match(tight.packer.append(ipv4, bytes, 0), { dataRecords: 1 });
});

t.test('the padding of a v9 set counts too', async (t) => {
  const { packer, ipv4 } = startPacking(NETFLOW_V9, 9, 20 + 4 + 208);
  packer.append(ipv4, bytes, 0);
  t.match(packer.finish(), { octets: 232, dataRecords: 1 });
  // Three records of 207 would fit into 645 octets, but for the 3 of padding.
  const tight = startPacking(NETFLOW_V9, 9, 20 + 4 + 3 * CURL_OCTETS[9] + 2);
  tight.packer.append(ipv4, bytes, 0);
  tight.packer.append(ipv4, bytes, 0);
  t.match(tight.packer.append(ipv4, bytes, 0), { octets: 20 + 4 + 416, dataRecords: 2 });
});

t.test('a record that does not fit moves on whole, and its set with it', async (t) => {
  const whole = startPacking(NETFLOW_V9, 9, 2000);
  whole.packer.append(whole.ipv6, bytes, 208);
  const alone = whole.packer.finish();
  const expected = alone?.bytes.toString('hex', 20, alone.octets);

  const { packer, ipv4, ipv6 } = startPacking(NETFLOW_V9, 9, 20 + 4 + 208 + 40);
  packer.append(ipv4, bytes, 0);
  const first = packer.append(ipv6, bytes, 208);
  t.equal(first?.octets, 232, 'the set that was begun for it is not sent');
  t.equal(first?.bytes.toString('hex', 20, 24), '010000d4');
  t.equal(first?.bytes[231], 0, 'padding');
  const second = packer.finish();
  t.equal(second?.bytes.toString('hex', 20, second.octets), expected);
});
