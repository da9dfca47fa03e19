// The decoder against others: nfdump's reading of the datagrams of nfdump-fixtures/, and tshark's
// of the messages written by hand.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { DecodedMessage, DecodedRecord } from '../support/decoder/decoded-message.js';
import {
  addressText,
  text,
  unixTime,
  unsigned,
  uptimeEpochMs,
} from '../support/decoder/field-values.js';
import { sequenceGaps } from '../support/decoder/sequence-check.js';
import { decodeExport } from '../support/exported-messages.js';
import { caseNames } from '../support/nfdump-fixture.js';
import { tshark, tsharkComplaints, writePcap } from '../support/pcap.js';
import { IPFIX_DATA, IPFIX_TEMPLATES, V1, V5, V9_DATA, V9_TEMPLATES } from './written-messages.js';

const FIXTURES = fileURLToPath(new URL('../../../nfdump-fixtures', import.meta.url));
const ICMP = [1, 58];

type Json = Readonly<Record<string, unknown>>;

/** "2024-01-02T04:03:55.250": nfdump writes UTC here, without saying so. */
function nfdumpTime(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, -1);
}

/** A flow as nfdump prints it, of the fields that are in each template. */
function toNfdump(message: DecodedMessage, { fields }: DecodedRecord): Json {
  const number = (element: number): number => unsigned(fields.get(`0/${element}`));
  const time = (element: number, uptime: number): number => {
    const value = fields.get(`0/${element}`);
    return value ? unixTime(value) : uptimeEpochMs(message, fields.get(`0/${uptime}`));
  };
  const address = (element: number): string => addressText(fields.get(`0/${element}`));
  const protocol = number(4);
  return {
    first: nfdumpTime(time(152, 22)),
    last: nfdumpTime(time(153, 21)),
    in_packets: number(2),
    in_bytes: number(1),
    proto: protocol,
    ...(ICMP.includes(protocol) ? {} : { src_port: number(7), dst_port: number(11) }),
    src_tos: number(5),
    ...(fields.has('0/8')
      ? { src4_addr: address(8), dst4_addr: address(12) }
      : { src6_addr: address(27), dst6_addr: address(28) }),
    input_snmp: number(10),
    output_snmp: number(14),
    direction: number(61),
    in_src_mac: address(56),
    in_dst_mac: address(80),
    ...(fields.has('0/40000') ? { user_name: text(fields.get('0/40000')) || '<empty>' } : {}),
  };
}

for (const name of caseNames(FIXTURES)) {
  t.test(`${name}: it reads what nfdump prints`, async (t) => {
    const read = (file: string): string => readFileSync(join(FIXTURES, name, file), 'utf8');
    const datagrams = read('datagrams.hex').trimEnd().split('\n');
    const messages = decodeExport(datagrams.map((line) => Buffer.from(line, 'hex')));
    t.same(sequenceGaps(messages), []);
    const flows = messages.flatMap((message) =>
      message.records
        .filter(({ isOptions }) => !isOptions)
        .map((record) => toNfdump(message, record)),
    );
    const printed = JSON.parse(read('nfdump.json')) as readonly Json[];
    t.equal(flows.length, printed.length);
    flows.forEach((flow, i) => {
      const same = Object.keys(flow).map((key) => [key, printed[i]?.[key]]);
      t.same(flow, Object.fromEntries(same));
    });
  });
}

const FLOWS = '192.0.2.1,198.51.100.2\t4567';
/** Each by itself, as of one exporter: "version, source addresses, octets" of its messages. */
const WRITTEN = [
  { messages: [V1], expected: [`1\t${FLOWS},60`] },
  { messages: [V5], expected: [`5\t${FLOWS},60`] },
  { messages: [V9_TEMPLATES, V9_DATA], expected: ['9\t\t', `9\t${FLOWS},60`] },
  { messages: [IPFIX_TEMPLATES, IPFIX_DATA], expected: ['10\t\t', `10\t${FLOWS},0`] },
];

for (const { messages, expected } of WRITTEN) {
  const version = messages[0]?.[1] ?? 0;
  t.test(`tshark reads the messages of version ${version} that are written by hand`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'procflow-decoder-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const capture = join(directory, 'messages.pcap');
    writePcap(capture, messages);
    t.equal(tsharkComplaints(capture), '');
    const fields = ['version', 'srcaddr', 'octets'].flatMap((field) => ['-e', `cflow.${field}`]);
    t.equal(tshark(capture, ['-T', 'fields', ...fields]), `${expected.join('\n')}\n`);
  });
}
