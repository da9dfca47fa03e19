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

const NUMBERS = {
  in_packets: '0/2',
  in_bytes: '0/1',
  proto: '0/4',
  src_tos: '0/5',
  input_snmp: '0/10',
  output_snmp: '0/14',
  direction: '0/61',
} as const;
const PORTS = { src_port: '0/7', dst_port: '0/11' } as const;
const ADDRESSES = {
  src4_addr: '0/8',
  dst4_addr: '0/12',
  src6_addr: '0/27',
  dst6_addr: '0/28',
  in_src_mac: '0/56',
  in_dst_mac: '0/80',
} as const;

/** Of a flow what nfdump prints under the same names, as far as the record has it. */
function toNfdump(message: DecodedMessage, { fields }: DecodedRecord): Json {
  const flow: Record<string, unknown> = {};
  const read = (
    names: Readonly<Record<string, string>>,
    convert: (value: Buffer) => unknown,
  ): void => {
    for (const [name, key] of Object.entries(names)) {
      const value = fields.get(key);
      if (value !== undefined) flow[name] = convert(value);
    }
  };
  read(NUMBERS, unsigned);
  read(ADDRESSES, addressText);
  if (!ICMP.includes(unsigned(fields.get('0/4')))) read(PORTS, unsigned);
  read({ first: '0/152', last: '0/153' }, (value) => nfdumpTime(unixTime(value)));
  read({ first: '0/22', last: '0/21' }, (value) => nfdumpTime(uptimeEpochMs(message, value)));
  read({ user_name: '0/40000' }, (value) => text(value) || '<empty>');
  return flow;
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
    // v1 and v5 have less of ICMP, and a list of elements is as short as its user wants.
    const least = name.endsWith('own-elements') ? 8 : /^v[15]-/.test(name) ? 10 : 12;
    const printed = JSON.parse(read('nfdump.json')) as readonly Json[];
    t.equal(flows.length, printed.length);
    flows.forEach((flow, i) => {
      t.ok(Object.keys(flow).length >= least, 'most of it is there');
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
