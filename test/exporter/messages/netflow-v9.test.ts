// NetFlow v9 messages octet by octet, and through node-netflowv9.
import t from 'tap';
import { CURL_FLOW, LOOPBACK_FLOW, PING_FLOW } from '../../support/described-flows.js';
import { decodeNetflow9 } from '../../support/netflow9-decoder.js';
import { recordExport } from '../../support/recorded-export.js';

// One hexadecimal string a part, with what it is.
const HEADER_OF_TEMPLATES = [
  '0009', // version
  '0002', // count: template records
  '05265eee', // sysUptime 86400.750 s: the exporter's zero lies a day before its start
  '65938b36', // unixSecs: the second after 04:04:05.250
  '00000000', // sequence number
  '00000007', // source id
];

const TEMPLATE_SET = [
  '0000 0124', // flow set id, length
  '0100 0023', // template id, field count
  '0016 0004', // FIRST_SWITCHED
  '0015 0004', // LAST_SWITCHED
  '0002 0008', // IN_PKTS
  '0001 0008', // IN_BYTES
  '0008 0004', // IPV4_SRC_ADDR
  '000c 0004', // IPV4_DST_ADDR
  '0020 0002', // ICMP_TYPE
  '0007 0002', // L4_SRC_PORT
  '000b 0002', // L4_DST_PORT
  '003c 0001', // IP_PROTOCOL_VERSION
  '0004 0001', // PROTOCOL
  '003d 0001', // DIRECTION
  '0005 0001', // SRC_TOS
  '0088 0001', // flowEndReason
  '0006 0001', // TCP_FLAGS
  '000a 0004', // INPUT_SNMP
  '000e 0004', // OUTPUT_SNMP
  '0019 0002', // MIN_PKT_LNGTH
  '001a 0002', // MAX_PKT_LNGTH
  '003a 0002', // SRC_VLAN
  '00f5 0002', // dot1qCustomerVlanId
  '0034 0001', // MIN_TTL
  '0035 0001', // MAX_TTL
  '0038 0006', // IN_SRC_MAC
  '0050 0006', // IN_DST_MAC
  '00c5 0001', // fragmentFlags
  '9c40 0014', // NF_F_USERNAME
  'e128 0004', // SRC_PROC_PID: 57472 + 168
  'e129 0010', // SRC_PROC_NAME
  'e229 0004', // SRC_PROC_UID
  'e1f4 0020', // SRC_PROC_USER_NAME
  'e1f7 0004', // DST_PROC_PID
  'e1f8 0010', // DST_PROC_NAME
  'e22a 0004', // DST_PROC_UID
  'e1f9 0020', // DST_PROC_USER_NAME
];

const DATA_MESSAGE = [
  '0009 0001 05265eee 65938b36', // version, count, sysUptime, unixSecs
  '00000001 00000007', // sequence number: the template message went before; source id
  '0100 00d4', // flow set id, length: 4 + 207 + 1
  '05265818 05265bff', // first and last: 1 s and 1 ms before the hour of uptime
  '0000000000000017 00000000000011d7', // 23 packets, 4567 octets
  'c0000201 c6336402 0000 9c40 01bb', // addresses, ICMP, ports
  '04 06 01 10 03 1b', // IP version, TCP, egress, tos, end of flow detected, flags
  '00000000 00000002', // it came in by no interface and went out by 2
  '0028 05dc 0005 004d 3f 40', // lengths, VLANs, TTLs
  '020000000001 020000000002 00', // MACs, no fragment
  '6375726c 00000000000000000000000000000000', // curl in 20 octets
  '000004d2 6375726c 000000000000000000000000', // source: pid 1234, curl in 16 octets
  '000003e8 616c696365 000000000000000000000000000000000000000000000000000000', // uid, alice
  '00000000 00000000000000000000000000000000', // destination: no pid, no name
  'ffffffff 0000000000000000000000000000000000000000000000000000000000000000', // no uid, no user
  '00', // padding
];

function octets(parts: readonly string[]): string {
  return parts.join('').replaceAll(' ', '');
}

t.test('templates go ahead of the data in a message of their own', async (t) => {
  const { sweep, transport } = await recordExport(9);
  await sweep([CURL_FLOW]);
  t.equal(transport.messages.length, 2);
  const templates = transport.messages[0]?.toString('hex') ?? '';
  const expected = octets([...HEADER_OF_TEMPLATES, ...TEMPLATE_SET]);
  t.equal(templates.slice(0, expected.length), expected);
  t.equal(transport.messages[1]?.toString('hex'), octets(DATA_MESSAGE));
});

t.test('node-netflowv9 reads what was written', async (t) => {
  const { sweep, transport } = await recordExport(9);
  await sweep([CURL_FLOW, LOOPBACK_FLOW, PING_FLOW]);
  const [, data] = decodeNetflow9(transport.messages);
  t.match(data?.header, { count: 3, sequence: 1, sourceId: 7, seconds: 1704168246 });
  t.equal(data?.flows.length, 3);
  t.match(data?.flows[0], {
    in_pkts: 23,
    in_bytes: 4567,
    ipv4_src_addr: '192.0.2.1',
    ipv4_dst_addr: '198.51.100.2',
    l4_src_port: 40000,
    l4_dst_port: 443,
    protocol: 6,
    tcp_flags: 0x1b,
    output_snmp: 2,
    type_40000: Buffer.from('curl'.padEnd(20, '\0')).toString('hex'),
    type_57640: '000004d2',
    type_57844: Buffer.from('alice'.padEnd(32, '\0')).toString('hex'),
  });
  t.match(data?.flows[1], {
    input_snmp: 1,
    output_snmp: 1,
    type_40000: Buffer.from('named'.padEnd(20, '\0')).toString('hex'),
    type_57640: '00000005',
    type_57847: '00000006',
  });
  t.match(data?.flows[2], {
    ipv6_src_addr: '20010db8000000000000000000000001',
    icmp_type: 0x8001,
    input_snmp: 3,
    output_snmp: 0,
    fragmentFlags: 0x20,
    type_57897: 'ffffffff',
  });
});
