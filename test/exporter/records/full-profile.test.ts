// The full profile: parent, command line and container of each process.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { CURL_FLOW, LOOPBACK_FLOW } from '../../support/described-flows.js';
import { exportedRecords } from '../../support/exported-messages.js';
import { tshark, tsharkComplaints, writePcap } from '../../support/pcap.js';
import { directoryOf, recordExport, type Identities } from '../../support/recorded-export.js';

const CONTAINER = '0123456789abcdef'.repeat(4);
const CURL = {
  parentPid: 1000,
  parentName: 'bash',
  commandLine: 'curl -s http://198.51.100.2/',
  containerId: CONTAINER,
};

// One hexadecimal string a part, with what it is.
const IPFIX_TEMPLATE_END = [
  '8179 ffff 00008b30', // destination user name: the last of the process profile
  '8175 0004 00008b30', // source parent process id
  '8176 ffff 00008b30', // source parent process name, variable
  '822c ffff 00008b30', // source command line
  '822e ffff 00008b30', // source container id
  '817a 0004 00008b30', // destination parent process id
  '817b ffff 00008b30', // destination parent process name
  '822d ffff 00008b30', // destination command line
  '822f ffff 00008b30', // destination container id
  '0101 002b', // the template for IPv6 follows
];
const IPFIX_DATA_END = [
  '00000000 00 ffffffff 00', // destination: no pid, no name, no uid, no user
  '000003e8 04 62617368', // parent 1000, bash
  '1c 6375726c202d7320687474703a2f2f3139382e35312e3130302e322f', // command line
  '40', // container id of 64 octets
  '30313233343536373839616263646566 30313233343536373839616263646566',
  '30313233343536373839616263646566 30313233343536373839616263646566',
  '00000000 00 00 00', // destination: nothing
];
const V9_TEMPLATE_END = [
  'e1f9 0020', // DST_PROC_USER_NAME: the last of the process profile
  'e1f5 0004', // 57472 + 373
  'e1f6 0010', // source parent process name
  'e2ac 0080', // source command line
  'e2ae 0041', // source container id and a NUL
  'e1fa 0004', // destination parent process id
  'e1fb 0010', // destination parent process name
  'e2ad 0080', // destination command line
  'e2af 0041', // destination container id
  '0101 002b', // the template for IPv6 follows
];
const V9_DATA_END = [
  '000003e8 62617368 000000000000000000000000', // parent 1000, bash
  '6375726c202d7320687474703a2f2f3139382e35312e3130302e322f', // command line
  '00'.repeat(100),
  '30313233343536373839616263646566 30313233343536373839616263646566',
  '30313233343536373839616263646566 30313233343536373839616263646566',
  '00', // NUL
  '00'.repeat(4 + 16 + 128 + 65), // destination: nothing
  '000000', // padding: 4 + 207 + 2 * 213 = 637
];

function octets(parts: readonly string[]): string {
  return parts.join('').replaceAll(' ', '');
}

function full(identities: Identities): {
  templates: { profile: 'full' };
  directory: ReturnType<typeof directoryOf>;
} {
  return { templates: { profile: 'full' }, directory: directoryOf(identities) };
}

t.test('IPFIX octet by octet', async (t) => {
  const { sweep, transport } = await recordExport(10, full({ 1234: CURL }));
  await sweep([CURL_FLOW]);
  const [templates = '', data = ''] = transport.messages.map((message) => message.toString('hex'));
  t.match(templates, octets(IPFIX_TEMPLATE_END));
  t.ok(data.endsWith(octets(IPFIX_DATA_END)), data);
});

t.test('NetFlow v9 octet by octet', async (t) => {
  const { sweep, transport } = await recordExport(9, full({ 1234: CURL }));
  await sweep([CURL_FLOW]);
  const [templates = '', data = ''] = transport.messages.map((message) => message.toString('hex'));
  t.match(templates, octets(V9_TEMPLATE_END));
  t.ok(data.endsWith(octets(V9_DATA_END)), data);
});

t.test('a command line is cut to 512 octets between characters, and that is counted', async (t) => {
  const identities = {
    1: { commandLine: 'x'.repeat(512) },
    2: { commandLine: 'x'.repeat(513) },
    3: { commandLine: `${'x'.repeat(511)}ä` },
    4: { commandLine: 'x'.repeat(254) },
    5: { commandLine: 'x'.repeat(255) },
  };
  const options = { ...full(identities), maxMessageOctets: 4000 };
  const { sweep, exporter, transport } = await recordExport(10, options);
  await sweep([1, 2, 3, 4, 5].map((pid) => ({ ...CURL_FLOW, source: { pid } })));
  const lines = exportedRecords(transport.messages).map(({ fields }) => fields.get('35632/556'));
  t.same(
    lines.map((line) => line?.length),
    [512, 512, 511, 254, 255],
  );
  t.equal(exporter.statistics().truncatedFields, 2);
});

t.test('a length takes three octets from 255 on, and one below', async (t) => {
  const lines = { 1: { commandLine: 'y'.repeat(254) }, 2: { commandLine: 'y'.repeat(255) } };
  const { sweep, transport } = await recordExport(10, full(lines));
  await sweep([1, 2].map((pid) => ({ ...CURL_FLOW, source: { pid } })));
  const text = transport.messages.at(-1)?.toString('latin1') ?? '';
  t.ok(text.includes(`\xfe${'y'.repeat(254)}\0`), 'RFC 7011 §7: "less than 255"');
  t.ok(text.includes(`\xff\x00\xff${'y'.repeat(255)}\0`));
});

t.test('two long command lines fit a message, and are cut as in any other record', async (t) => {
  const long = { commandLine: 'x'.repeat(600), containerId: CONTAINER, parentName: 'y'.repeat(16) };
  const { sweep, exporter, transport } = await recordExport(10, full({ 5: long, 6: long }));
  const ipv6 = {
    ipVersion: 6,
    sourceAddress: '00'.repeat(16),
    destinationAddress: '00'.repeat(16),
  } as const;
  const name = { uid: 4_000_000_000, comm: 'z'.repeat(16) };
  const both = { ...LOOPBACK_FLOW, source: { pid: 5, ...name }, destination: { pid: 6, ...name } };
  await sweep([
    { ...both, ...ipv6 },
    { ...CURL_FLOW, source: { pid: 5 } },
  ]);
  t.ok(transport.messages.every(({ length }) => length <= 1372));
  const records = exportedRecords(transport.messages);
  const lengths = records.flatMap(({ fields }) =>
    ['35632/556', '35632/557'].map((key) => fields.get(key)?.length ?? 0),
  );
  t.equal(records.length, 2);
  const [ipv4Source = 0, none, ipv6Source, ipv6Destination] = lengths;
  t.ok(ipv4Source > 400, `${ipv4Source} octets`);
  t.same([none, ipv6Source, ipv6Destination], [0, ipv4Source, ipv4Source]);
  t.equal(exporter.statistics().truncatedFields, 3);
});

t.test('a message too short for two command lines worth it is refused', async (t) => {
  const options = { ...full({}), maxMessageOctets: 512 };
  await t.rejects(recordExport(10, options), {
    code: 'bad-option',
    message: /at most 512 octets: .* can have 546$/,
  });
});

t.test(
  'a process is looked up once a batch of records, and its texts are encoded once',
  async (t) => {
    let lookups = 0;
    let reads = 0;
    const identity = {
      ...CURL,
      ...{ executable: '', cgroupPath: '', unit: '', containerRuntime: '', podUid: '' },
      get commandLine(): string {
        reads++;
        return CURL.commandLine;
      },
    };
    const directory = {
      ...directoryOf({}),
      identity: () => {
        lookups++;
        return identity;
      },
    };
    const { sweep, transport } = await recordExport(10, {
      templates: { profile: 'full' },
      directory,
    });
    await sweep([CURL_FLOW, CURL_FLOW]);
    await sweep([CURL_FLOW]);
    t.equal(lookups, 2);
    t.equal(reads, 1);
    const lines = exportedRecords(transport.messages).map(({ fields }) => fields.get('35632/556'));
    t.same(lines.map(String), Array(3).fill(CURL.commandLine));
  },
);

t.test('no profile but the full one asks for more than the names of users', async (t) => {
  const directory = {
    ...directoryOf({}),
    identity: () => {
      throw new Error('was asked');
    },
  };
  for (const profile of ['process', 'standard'] as const) {
    const { sweep, exporter } = await recordExport(10, { templates: { profile }, directory });
    await sweep([CURL_FLOW]);
    t.equal(exporter.statistics().records, 1);
  }
});

t.test('any texts give valid UTF-8 in messages within their limit', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: 'grapheme', minLength: 100, maxLength: 700 }),
  );
  const identity = fc.record({ commandLine: text, parentName: text, containerId: text });
  const limit = fc.integer({ min: 800, max: 3000 });
  const version = fc.constantFrom(9 as const, 10 as const);
  const property = fc.asyncProperty(
    fc.array(identity, { minLength: 2, maxLength: 8 }),
    limit,
    version,
    async (identities, maxMessageOctets, version) => {
      const options = { ...full(Object.fromEntries(identities.entries())), maxMessageOctets };
      const { sweep, transport } = await recordExport(version, options);
      const pids = identities.map((_, pid) => pid + 1);
      await sweep(
        pids.map((pid) => ({ ...LOOPBACK_FLOW, source: { pid }, destination: { pid: pid - 1 } })),
      );
      if (transport.messages.some(({ length }) => length > maxMessageOctets))
        throw new Error('long');
      if (version === 9) return;
      const records = exportedRecords(transport.messages);
      if (records.length !== identities.length) throw new Error(`${records.length} records`);
      for (const { fields } of records) {
        for (const element of [374, 556, 558, 379, 557, 559]) {
          const octets = fields.get(`35632/${element}`);
          const decoded = new TextDecoder('utf-8', { fatal: true }).decode(octets);
          if (/["\\]|\p{Cc}/u.test(decoded)) throw new Error(decoded);
        }
      }
    },
  );
  await fc.assert(property, { numRuns: 100 });
});

for (const version of [9, 10] as const) {
  t.test(`tshark reads version ${version}, and names the parent`, async (t) => {
    const long = { ...CURL, commandLine: 'x'.repeat(2000) };
    const { sweep, transport } = await recordExport(
      version,
      full({ 1234: CURL, 5: long, 6: long }),
    );
    for (let i = 0; i < 5; i++) await sweep([CURL_FLOW, LOOPBACK_FLOW]);
    const directory = mkdtempSync(join(tmpdir(), 'procflow-full-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const capture = join(directory, 'datagrams.pcap');
    writePcap(capture, transport.messages);
    t.equal(tsharkComplaints(capture), '');
    const values = (field: string): string[] =>
      tshark(capture, ['-T', 'fields', '-e', `cflow.pie.ntop.${field}`])
        .split(/[\n,]/)
        .filter((value) => value !== '');
    t.same(values('src_father_proc_pid'), Array(10).fill('1000'));
    t.same(values('src_father_proc_name'), Array(10).fill('bash'));
    t.same(values('dst_father_proc_pid'), Array(5).fill(['0', '1000']).flat());
  });
}
