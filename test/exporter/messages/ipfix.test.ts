// IPFIX messages octet by octet.
import t from 'tap';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { exportedRecords } from '../../support/exported-messages.js';
import { recordExport } from '../../support/recorded-export.js';

// One hexadecimal string a part, with what it is.
const TEMPLATE_MESSAGE = [
  '000a 0174', // version, length
  '65938b35', // export time: 04:04:05
  '00000000 00000007', // sequence number, observation domain
  '0002 0164', // set id, length
  '0100 0023', // template id, field count
  '0098 0008', // flowStartMilliseconds
  '0099 0008', // flowEndMilliseconds
  '0002 0008', // packetDeltaCount
  '0001 0008', // octetDeltaCount
  '0008 0004', // sourceIPv4Address
  '000c 0004', // destinationIPv4Address
  '0020 0002', // icmpTypeCodeIPv4
  '0007 0002', // sourceTransportPort
  '000b 0002', // destinationTransportPort
  '003c 0001', // ipVersion
  '0004 0001', // protocolIdentifier
  '003d 0001', // flowDirection
  '0005 0001', // ipClassOfService
  '0088 0001', // flowEndReason
  '0006 0001', // tcpControlBits
  '000a 0004', // ingressInterface
  '000e 0004', // egressInterface
  '0019 0002', // minimumIpTotalLength, in reduced size
  '001a 0002', // maximumIpTotalLength
  '003a 0002', // vlanId
  '00f5 0002', // dot1qCustomerVlanId
  '0034 0001', // minimumTTL
  '0035 0001', // maximumTTL
  '0038 0006', // sourceMacAddress
  '0050 0006', // destinationMacAddress
  '00c5 0001', // fragmentFlags
  '0114 0001', // dataRecordsReliability
  '80a8 0004 00008b30', // source process id of enterprise 35632
  '80a9 ffff 00008b30', // source process name, variable
  '81a9 0004 00008b30', // source user id
  '8174 ffff 00008b30', // source user name
  '8177 0004 00008b30', // destination process id
  '8178 ffff 00008b30', // destination process name
  '81aa 0004 00008b30', // destination user id
  '8179 ffff 00008b30', // destination user name
  '0101 0023', // the template for IPv6 follows
];

const DATA_MESSAGE = [
  '000a 0085 65938b35', // version, length, export time
  '00000000 00000007', // sequence number: no data record before; observation domain
  '0100 0075', // set id, length: no padding
  '0000018cc857c41a 0000018cc857c801', // first and last, milliseconds since 1970
  '0000000000000017 00000000000011d7', // 23 packets, 4567 octets
  'c0000201 c6336402 0000 9c40 01bb', // addresses, ICMP, ports
  '04 06 01 10 03 1b', // IP version, TCP, egress, tos, end of flow detected, flags
  '00000000 00000002', // it came in by no interface and went out by 2
  '0028 05dc 0005 004d 3f 40', // lengths, VLANs, TTLs
  '020000000001 020000000002 00', // MACs, no fragment
  '01', // the process is known, not inferred: true
  '000004d2 04 6375726c', // source: pid 1234, curl
  '000003e8 05 616c696365', // uid 1000, alice
  '00000000 00 ffffffff 00', // destination: no pid, no name, no uid, no user
];

function octets(parts: readonly string[]): string {
  return parts.join('').replaceAll(' ', '');
}

t.test('templates go ahead of the data in a message of their own', async (t) => {
  const { sweep, transport } = await recordExport(10);
  await sweep([CURL_FLOW]);
  t.equal(transport.messages.length, 2);
  const expected = octets(TEMPLATE_MESSAGE);
  t.equal(transport.messages[0]?.toString('hex').slice(0, expected.length), expected);
  t.equal(transport.messages[1]?.toString('hex'), octets(DATA_MESSAGE));
});

t.test('each side of a loopback flow has its process', async (t) => {
  const { sweep, transport } = await recordExport(10);
  await sweep([LOOPBACK_FLOW]);
  const [record] = exportedRecords(transport.messages);
  const value = (key: string): string | undefined => record?.fields.get(key)?.toString('latin1');
  t.equal(value('35632/169'), 'named');
  t.equal(value('35632/372'), 'www-data');
  t.equal(value('35632/376'), 'resolver');
  t.equal(value('35632/377'), '4242', 'a user without a name goes by number');
  t.equal(value('0/10'), '\x00\x00\x00\x01', 'it came in by the loopback interface');
  t.equal(value('0/14'), '\x00\x00\x00\x01', 'and went out by it');
});

t.test('ICMPv6 and fragments have their own elements', async (t) => {
  const { sweep, transport } = await recordExport(10);
  await sweep([PING_FLOW]);
  const [record] = exportedRecords(transport.messages);
  const value = (key: string): string | undefined => record?.fields.get(key)?.toString('hex');
  t.equal(record?.templateId, 257);
  t.equal(value('0/27'), '20010db8000000000000000000000001');
  t.equal(value('0/139'), '8001');
  t.equal(value('0/32'), undefined);
  t.equal(value('0/197'), '20');
  t.equal(value('0/10'), '00000003');
  t.equal(value('0/14'), '00000000');
});

t.test('where this host has no process a word says why, at the local side only', async (t) => {
  const { sweep, transport } = await recordExport(10, { templates: { profile: 'process' } });
  await sweep([
    { ...PING_FLOW, destination: { method: 'ATTRIBUTION_KERNEL' } },
    { ...PING_FLOW, source: { method: 'ATTRIBUTION_KERNEL' } },
    { ...PING_FLOW, destination: { method: 'ATTRIBUTION_FORWARDED' } },
  ]);
  const records = exportedRecords(transport.messages);
  const values = (key: string): unknown =>
    records.map(({ fields }) => fields.get(key)?.toString('latin1'));
  t.same(values('35632/376'), ['(kernel)', '(unknown)', '(forwarded)']);
  t.same(values('35632/375'), Array(3).fill('\0\0\0\0'), 'without a process id');
  t.same(values('35632/426'), Array(3).fill('\xff\xff\xff\xff'), 'nor a user id');
  t.same(values('35632/377'), ['', '', ''], 'nor a user name');
  t.same(values('35632/169'), ['', '', ''], 'the other host');
});

t.test('the names of non-processes can be chosen, also none', async (t) => {
  const nonProcessNames = { kernel: '', forwarded: 'transit', unknown: '?' };
  const { sweep, transport } = await recordExport(10, {
    templates: { profile: 'standard' },
    nonProcessNames,
  });
  await sweep([
    { ...PING_FLOW, destination: { method: 'ATTRIBUTION_KERNEL' } },
    { ...PING_FLOW, destination: { method: 'ATTRIBUTION_FORWARDED' } },
    PING_FLOW,
  ]);
  const records = exportedRecords(transport.messages);
  t.same(
    records.map(({ fields }) => fields.get('0/96')?.toString()),
    ['', 'transit', '?'],
  );
});

t.test('a record whose process was inferred says that it is not reliable', async (t) => {
  const { sweep, transport } = await recordExport(10);
  const inferred = { pid: 1234, uid: 1000, comm: 'curl', method: 'ATTRIBUTION_LISTENER' } as const;
  await sweep([
    CURL_FLOW,
    { ...CURL_FLOW, source: inferred },
    LOOPBACK_FLOW,
    { ...LOOPBACK_FLOW, destination: inferred },
  ]);
  const records = exportedRecords(transport.messages);
  const values = records.map(({ fields }) => fields.get('0/276')?.toString('hex'));
  t.same(values, ['01', '02', '01', '02'], 'true is 1, false is 2');
});

t.test('the standard profile names the local process and its user by IANA elements', async (t) => {
  const { sweep, transport } = await recordExport(10, { templates: { profile: 'standard' } });
  const { source: destination, ...flow } = CURL_FLOW;
  await sweep([CURL_FLOW, { ...flow, direction: 'ingress', ...(destination && { destination }) }]);
  const records = exportedRecords(transport.messages);
  t.equal(records.length, 2);
  for (const { fields } of records) {
    t.equal(fields.get('0/96')?.toString(), 'curl');
    t.equal(fields.get('0/371')?.toString(), 'alice');
    t.notOk([...fields.keys()].some((key) => !key.startsWith('0/')));
  }
});
