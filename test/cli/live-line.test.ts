import t from 'tap';
import { LiveTable, liveRow } from '../../src/cli/live-line.js';
import { paintFor } from '../../src/cli/terminal-style.js';
import { ATTRIBUTION_METHOD, FLOW_FLAG } from '../../src/flow/flow-contract.gen.js';
import { NAMES, flowRecord, port, type Owner, type RecordValues } from './record-bytes.js';

process.env.TZ = 'UTC';
/** Booted at 2026-01-02 03:04:05.000 UTC. */
const BOOT_EPOCH = { seconds: Date.UTC(2026, 0, 2, 3, 4, 5) / 1000, nanoseconds: 0 };
const { ATTRIBUTION_KERNEL, ATTRIBUTION_FORWARDED, ATTRIBUTION_SOCKET } = ATTRIBUTION_METHOD;
const PLAIN = paintFor({ isTTY: false }, {});

const SENT: RecordValues = {
  first_ns: 60_000_000_000n,
  last_ns: 61_234_600_000n,
  packets: 7,
  octets: 4_294_967_296n,
  source_address: [192, 0, 2, 1],
  destination_address: [198, 51, 100, 7],
  source_port: port(51234),
  destination_port: port(443),
  ip_version: 4,
  protocol: 6,
  direction: 1,
};
const RECEIVED: RecordValues = {
  ...SENT,
  source_address: [198, 51, 100, 7],
  destination_address: [192, 0, 2, 1],
  source_port: port(443),
  destination_port: port(51234),
  direction: 0,
};
const CURL: Owner = { pid: 1234, uid: 1000, comm: 'curl', method: ATTRIBUTION_SOCKET };
const NGINX: Owner = { pid: 99, uid: 33, comm: 'nginx', method: ATTRIBUTION_SOCKET };
const KERNEL: Owner = { pid: 0, method: ATTRIBUTION_KERNEL };
const FORWARDED: Owner = { pid: 0, method: ATTRIBUTION_FORWARDED };

t.test('a sent flow, column by column', async (t) => {
  t.same(liveRow(flowRecord(SENT, CURL), BOOT_EPOCH, NAMES), {
    time: '03:05:05.000',
    process: 'curl[1234]',
    user: 'alice',
    flow: '192.0.2.1:51234 -> 198.51.100.7:443',
    protocol: 'TCP',
    octets: '4294967296',
    packets: '7',
    duration: '1.235s',
  });
});

const ICMPV6: RecordValues = {
  ...SENT,
  ip_version: 6,
  protocol: 58,
  icmp_type_code: port(0x8000),
  source_address: [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 1],
  destination_address: [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 2],
};
const cases: readonly {
  name: string;
  values: RecordValues;
  source?: Owner;
  destination?: Owner;
  expected: object;
}[] = [
  {
    name: 'received: the process of this host still stands on the left',
    values: RECEIVED,
    destination: CURL,
    expected: {
      process: 'curl[1234]',
      user: 'alice',
      flow: '192.0.2.1:51234 <- 198.51.100.7:443',
    },
  },
  {
    name: 'loopback shows both processes and both users',
    values: { ...SENT, flags: FLOW_FLAG.FLOW_LOOPBACK },
    source: CURL,
    destination: NGINX,
    expected: {
      process: 'curl[1234] -> nginx[99]',
      user: 'alice -> 33',
      flow: '192.0.2.1:51234 -> 198.51.100.7:443',
    },
  },
  {
    name: 'loopback between processes of one user names the user once',
    values: { ...SENT, flags: FLOW_FLAG.FLOW_LOOPBACK },
    source: CURL,
    destination: { ...NGINX, uid: 1000 },
    expected: { user: 'alice' },
  },
  {
    name: 'loopback with a side that was not found',
    values: { ...SENT, flags: FLOW_FLAG.FLOW_LOOPBACK },
    source: CURL,
    expected: { process: 'curl[1234] -> (unknown)', user: 'alice -> -' },
  },
  {
    name: 'two containers of this host',
    values: RECEIVED,
    source: NGINX,
    destination: CURL,
    expected: { process: 'nginx[99] -> curl[1234]', flow: /443 -> .*51234/ },
  },
  {
    name: 'sent by a process that was not found',
    values: SENT,
    expected: { process: '(unknown)', user: '-', flow: '192.0.2.1:51234 -> 198.51.100.7:443' },
  },
  {
    name: 'received by a process that was not found',
    values: RECEIVED,
    expected: { process: '(unknown)', user: '-', flow: '192.0.2.1:51234 <- 198.51.100.7:443' },
  },
  {
    name: 'sent by the kernel',
    values: SENT,
    source: KERNEL,
    expected: { process: '(kernel)', user: '-' },
  },
  {
    name: 'forwarded: in the direction of the packets',
    values: RECEIVED,
    source: FORWARDED,
    destination: FORWARDED,
    expected: { process: '(forwarded)', user: '-', flow: '198.51.100.7:443 -> 192.0.2.1:51234' },
  },
  {
    name: 'ICMPv6 has a type and a code, no ports',
    values: ICMPV6,
    source: CURL,
    expected: { protocol: 'ICMPv6 128/0', flow: '2001:db8::1 -> 2001:db8::2' },
  },
  {
    name: 'IPv6 with ports stands in brackets',
    values: { ...ICMPV6, protocol: 17 },
    source: CURL,
    expected: { protocol: 'UDP', flow: '[2001:db8::1]:51234 -> [2001:db8::2]:443' },
  },
  {
    name: 'a protocol without a name is a number',
    values: { ...SENT, protocol: 253 },
    source: CURL,
    expected: { protocol: '253', flow: '192.0.2.1 -> 198.51.100.7' },
  },
  {
    name: 'a hostile name',
    values: SENT,
    source: { ...CURL, comm: '\x1b]0;pwn\x07\n\u202e' },
    expected: { process: '\\x1b]0;pwn\\x07\\x0a\\u{202e}[1234]' },
  },
  {
    name: 'a name that is not UTF-8, of all 16 octets',
    values: SENT,
    source: { ...CURL, comm: Buffer.from('ff9b313233343536373839303132333435', 'hex') },
    expected: { process: '\ufffd\ufffd12345678901234[1234]' },
  },
  {
    name: 'a name of nothing',
    values: SENT,
    source: { ...CURL, comm: '' },
    expected: { process: '[1234]' },
  },
];

t.test('processes, directions and protocols', async (t) => {
  for (const { name, values, source, destination, expected } of cases) {
    const row = liveRow(flowRecord(values, source, destination), BOOT_EPOCH, NAMES);
    t.match(row, expected, name);
  }
});

t.test('names of non-processes can be chosen, also none', async (t) => {
  const nonProcessNames = { kernel: 'the \x1b kernel', forwarded: '', unknown: 'none' };
  const process = (owner: Owner): string =>
    liveRow(flowRecord(SENT, owner), BOOT_EPOCH, { ...NAMES, nonProcessNames }).process;
  t.equal(process(KERNEL), 'the \\x1b kernel');
  t.equal(process(FORWARDED), '-');
  t.equal(process({ pid: 0 }), 'none');
});

t.test('columns stand one below the other, also below the header', async (t) => {
  const table = new LiveTable(PLAIN);
  const row = liveRow(flowRecord(SENT, CURL), BOOT_EPOCH, NAMES);
  const header = table.header();
  const line = table.line(row);
  t.equal(line.length, header.length);
  for (const [title, text] of [
    ['PROCESS', row.process],
    ['USER', row.user],
    ['FLOW', row.flow],
    ['PROTO', row.protocol],
  ] as const) {
    t.equal(line.indexOf(text), header.indexOf(title), title);
  }
  t.ok(line.endsWith(' 1.235s'));
});

t.test('a column that met a longer text stays as wide, up to its limit', async (t) => {
  const table = new LiveTable(PLAIN);
  const row = liveRow(flowRecord(SENT, CURL), BOOT_EPOCH, NAMES);
  table.line({ ...row, process: 'x'.repeat(40) });
  t.equal(table.line(row).indexOf('alice'), 14 + 40 + 2);
  table.line({ ...row, process: 'x'.repeat(400) });
  t.equal(table.line(row).indexOf('alice'), 14 + 52 + 2);
});

t.test('colours only on a terminal that has them, and never by way of a name', async (t) => {
  const hostile = { ...CURL, comm: '\x1b[31mred' };
  const row = liveRow(flowRecord(SENT, hostile), BOOT_EPOCH, NAMES);
  const escapes = (isTTY: boolean, env: NodeJS.ProcessEnv): number =>
    new LiveTable(paintFor({ isTTY }, env)).line(row).split('\x1b').length - 1;
  t.equal(escapes(true, {}), 2, 'one colour, on and off');
  t.equal(escapes(true, { NO_COLOR: '' }), 2, 'an empty NO_COLOR is none');
  t.equal(escapes(true, { NO_COLOR: '1' }), 0);
  t.equal(escapes(true, { TERM: 'dumb' }), 0);
  t.equal(escapes(false, {}), 0);
});
