import fc from 'fast-check';
import t from 'tap';
import { ConfigError } from '../../src/daemon/config-error.js';
import {
  readExportConfig,
  type CollectorConfig,
  type ExportSettings,
} from '../../src/daemon/export-config.js';

function collectorOf(collector: string, settings: Partial<ExportSettings> = {}): CollectorConfig {
  const config = readExportConfig({ ...settings, collector: [collector] });
  const [first] = config.collectors;
  if (first === undefined) throw new Error('no collector');
  return first;
}

t.test('a host and a port are enough', async (t) => {
  t.match(collectorOf('192.0.2.1:9995'), {
    address: { scheme: 'udp', host: '192.0.2.1', port: 9995 },
    version: 9,
    profile: 'process',
    timePrecision: 'milliseconds',
    observationDomain: undefined,
    templateRefresh: 60_000,
    optionsPeriod: 600_000,
    messageOctets: undefined,
    rate: undefined,
    backlog: 16_777_216,
  });
});

const addresses: readonly { given: string; expected: object }[] = [
  { given: '[2001:db8::1]:2055', expected: { scheme: 'udp', host: '2001:db8::1', port: 2055 } },
  { given: '[fe80::1%eth0]:2055', expected: { host: 'fe80::1%eth0', port: 2055 } },
  {
    given: 'udp://collector.example.net:65535',
    expected: { host: 'collector.example.net', port: 65535 },
  },
  {
    given: 'udp://239.1.2.3:4739?hops=3&device=eth1&resolve=10m',
    expected: { multicastHops: 3, device: 'eth1', resolveIntervalMs: 600_000 },
  },
  { given: '192.0.2.1:1?source=192.0.2.7', expected: { source: { address: '192.0.2.7' } } },
  { given: '[::1]:1?source=[::1]:5', expected: { source: { address: '::1', port: 5 } } },
  {
    given: 'tcp://192.0.2.1:4739?version=10&reconnect=5&stall=0',
    expected: { scheme: 'tcp', reconnectIntervalMs: 5000, stallTimeoutMs: 0 },
  },
  {
    given:
      'tls://collector.example:4740?version=10&ca=/a.pem&cert=/b.pem&key=/c.pem&servername=d&verify=no',
    expected: {
      scheme: 'tls',
      tls: {
        caFile: '/a.pem',
        certFile: '/b.pem',
        keyFile: '/c.pem',
        serverName: 'd',
        isVerified: false,
      },
    },
  },
  { given: 'unix:///run/flows.sock', expected: { scheme: 'unix', path: '/run/flows.sock' } },
  {
    given: 'file:///var/flows.ipfix?version=10&rotate=5m&size=64M',
    expected: {
      scheme: 'file',
      path: '/var/flows.ipfix',
      rotateIntervalMs: 300_000,
      rotateOctets: 67_108_864,
    },
  },
];

t.test('every transport has an address', async (t) => {
  for (const { given, expected } of addresses) t.match(collectorOf(given).address, expected, given);
});

t.test('streams and files are IPFIX unless something else is said', async (t) => {
  t.equal(collectorOf('tcp://a:1').version, 10);
  t.equal(collectorOf('FILE:///a').version, 10);
  t.throws(() => collectorOf('file:///a', { version: '9' }), /NetFlow v9 goes in datagrams/);
});

t.test('a plus sign is one', async (t) => {
  const { address } = collectorOf('tls://a:1?ca=/etc/a+b.pem');
  t.match(address, { tls: { caFile: '/etc/a+b.pem' } });
});

t.test('one source port is not for two collectors', async (t) => {
  const collector = ['192.0.2.1:1', '192.0.2.2:1'];
  const read = (): unknown => readExportConfig({ collector, source: '192.0.2.7:9' });
  t.throws(read, { name: 'ConfigError', message: /^--source 192.0.2.7:9: is for one collector/ });
});

t.test('what the command line says of addresses is for those that do not say it', async (t) => {
  const { collectors } = readExportConfig({
    collector: ['192.0.2.1:1', 'udp://192.0.2.2:1?hops=2&device=eth2', 'tcp://192.0.2.3:1'],
    transport: 'udp',
    hopLimit: '64',
    device: 'eth1',
  });
  t.match(
    collectors.map(({ address }) => address),
    [
      { scheme: 'udp', multicastHops: 64, device: 'eth1' },
      { scheme: 'udp', multicastHops: 2, device: 'eth2' },
      { scheme: 'tcp' },
    ],
  );
  t.match(collectorOf('192.0.2.1:1', { transport: 'tcp' }).address, { scheme: 'tcp' });
  const wrong = (): unknown => collectorOf('192.0.2.1:1', { hopLimit: '256' });
  t.throws(wrong, { name: 'ConfigError', message: /^-L 256: is out of range/ });
});

t.test("softflowd's -b joins directions where the format can", async (t) => {
  const versions = ['9', '10'];
  const collectors = versions.map((version) =>
    collectorOf('192.0.2.1:1', { version, isBidirectional: true }),
  );
  t.match(collectors, [
    { version: 9, biflow: false },
    { version: 10, biflow: true },
  ]);
});

t.test('the source of the command line is for collectors without one', async (t) => {
  const config = readExportConfig({
    collector: ['192.0.2.1:1', '192.0.2.2:1?source=192.0.2.8', 'unix:///a'],
    source: '192.0.2.7',
  });
  const sources = config.collectors.map(({ address }) => 'source' in address && address.source);
  t.same(sources, [{ address: '192.0.2.7' }, { address: '192.0.2.8' }, false]);
});

const settings: readonly { given: string; settings?: Partial<ExportSettings>; expected: object }[] =
  [
    { given: 'a:1', settings: { version: '10' }, expected: { version: 10 } },
    { given: 'a:1?version=5', settings: { version: '10' }, expected: { version: 5 } },
    { given: 'a:1?version=1', expected: { version: 1 } },
    { given: 'a:1?domain=4294967295', expected: { observationDomain: 4_294_967_295 } },
    { given: 'a:1?template-refresh=1.5', expected: { templateRefresh: 1500 } },
    { given: 'a:1?template-refresh-messages=20', expected: { templateRefreshMessages: 20 } },
    {
      given: 'a:1?profile=full&time=us',
      expected: { profile: 'full', timePrecision: 'microseconds' },
    },
    { given: 'a:1?name={comm}/{pid}', expected: { nameFormat: { text: '{comm}/{pid}' } } },
    { given: 'a:1?user={uid}%26{user}', expected: { userFormat: { text: '{uid}&{user}' } } },
    { given: 'a:1?version=10&nfdump-appname', expected: { nfdumpAppname: true } },
    { given: 'a:1?version=10&biflow=yes', expected: { biflow: true } },
    {
      given: 'a:1?elements=octetDeltaCount,packetDeltaCount',
      expected: { elements: ['octetDeltaCount', 'packetDeltaCount'] },
    },
    { given: 'a:1?options=none', expected: { options: new Set() } },
    {
      given: 'a:1?options=types,interfaces',
      expected: { options: new Set(['types', 'interfaces']) },
    },
    { given: 'a:1?options-period=1h', expected: { optionsPeriod: 3_600_000 } },
    {
      given: 'a:1?message-octets=512&rate=100&backlog=1M',
      expected: { messageOctets: 512, rate: 100, backlog: 1_048_576 },
    },
  ];

t.test('a setting is for all collectors, and a parameter for one', async (t) => {
  for (const { given, settings: texts, expected } of settings) {
    t.match(collectorOf(given, texts), expected, given);
  }
});

t.test('several collectors, each with its format', async (t) => {
  const config = readExportConfig({ collector: ['a:1', 'a:1?version=10', 'b:1'], balance: true });
  t.same(
    config.collectors.map(({ version }) => version),
    [9, 10, 9],
  );
  t.equal(config.isBalanced, true);
});

const bad: readonly {
  given: string;
  settings?: Partial<ExportSettings>;
  message: string | RegExp;
}[] = [
  {
    given: '192.0.2.1',
    message:
      '-n 192.0.2.1: has no port (give HOST:PORT, such as 192.0.2.1:9995 or [2001:db8::1]:9995)',
  },
  { given: '', message: /^-n : is not an address with a port/ },
  { given: ':9995', message: /not an address with a port/ },
  { given: '::1:9995', message: /unclear/ },
  { given: '[::1]', message: /has no port/ },
  { given: '[192.0.2.1]:9995', message: /not an IPv6 address/ },
  { given: '[]:9995', message: /not an IPv6 address/ },
  { given: '300.1.1.1:9995', message: /300.1.1.1 is not an IPv4 address/ },
  { given: 'host:0', message: /0 is not a port/ },
  { given: 'host:65536', message: /65536 is not a port/ },
  { given: 'host:http', message: /http is not a port, and not a service in \/etc\/services/ },
  { given: 'a b:1', message: /not an address with a port/ },
  {
    given: 'sctp://a:1',
    message: '-n sctp://a:1: no such transport: sctp (give udp, tcp, tls, unix or file)',
  },
  {
    given: 'a:1?version=7',
    message:
      '-n a:1?version=7: version 7: no such export version (give 1, 5 or 9 for NetFlow, or 10 for IPFIX)',
  },
  { given: 'a:1', settings: { version: '09' }, message: /^-v 09: no such export version/ },
  {
    given: 'a:1?verson=9',
    message: /^-n a:1\?verson=9: no such parameter: verson \(it has source, device/,
  },
  { given: 'a:1?rotate=5m', message: /no such parameter: rotate/ },
  { given: 'a:1?domain=4294967296', message: /out of range/ },
  {
    given: 'a:1',
    settings: { observationDomain: 'x' },
    message: /^--observation-domain x: is not a whole/,
  },
  {
    given: 'a:1',
    settings: { templateRefresh: 'never' },
    message: /^--template-refresh never: is not a number/,
  },
  { given: 'a:1?template-refresh=0.5', message: /out of range \(give seconds from 1 to/ },
  {
    given: 'a:1?profile=everything',
    message: /profile everything: no such set of fields \(give process, full or standard\)/,
  },
  { given: 'a:1?time=s', message: /no such precision \(give ms, us or ns\)/ },
  { given: 'a:1?name={nam}', message: /-n a:1\?name=\{nam\}: name \{nam\}: .*\{comm\}/ },
  { given: 'a:1?elements=octetDeltaCont', message: /octetDeltaCont.*octetDeltaCount/ },
  { given: 'a:1?elements=@/nowhere/at/all', message: /ENOENT \(give the path of a file/ },
  { given: 'a:1?biflow', message: /only IPFIX joins both directions/ },
  { given: 'a:1?options=names', message: /no such kind: names \(give all, none, interfaces/ },
  { given: 'a:1?backlog=1T', message: /is not a number of octets/ },
  {
    given: '192.0.2.1:1',
    settings: { source: 'eth0' },
    message: /^--source eth0: is not an IP address/,
  },
  { given: '192.0.2.1:1?source=192.0.2.7:0', message: /is not a port/ },
  { given: '192.0.2.1:1?source=::1', message: /another IP version than the collector/ },
  { given: '192.0.2.1:1?hops=256', message: /out of range/ },
  { given: '192.0.2.1:1?device=sixteen-octets--', message: /not an interface name/ },
  { given: 'tcp://a:1?version=9', message: /NetFlow v9 goes in datagrams.*give version=10/ },
  { given: 'a:1?rate=1&rate=2', message: /rate is there twice/ },
  { given: 'a:1?name=%zz', message: /name=%zz has a broken %/ },
  { given: 'file:///a', settings: { version: '5' }, message: /NetFlow v5 goes in datagrams/ },
  { given: 'tls://a:1?version=10&cert=/a', message: /a certificate and its key go together/ },
  { given: 'tls://a:1?version=10&verify=maybe', message: /give yes or no/ },
  { given: 'file://a', message: /not an absolute path/ },
  { given: 'unix:///', message: /not an absolute path/ },
  { given: `unix:///${'a'.repeat(107)}`, message: /at most 107 octets/ },
  { given: 'a:1', settings: { balance: true }, message: /^--balance: there is one collector only/ },
];

t.test('a bad collector is named, with what to give instead', async (t) => {
  for (const { given, settings: texts, message } of bad) {
    const read = (): unknown => collectorOf(given, texts);
    t.throws(read, { name: 'ConfigError', message }, given);
  }
});

t.test('a collector that would get every flow twice is refused', async (t) => {
  const read = (): unknown => readExportConfig({ collector: ['a:1', 'udp://a:1?version=9'] });
  t.throws(read, { name: 'ConfigError', message: /is there twice/ });
});

t.test('any text gives a configuration or a ConfigError', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      for (const collector of [a, `${a}:${b}`, `udp://a:1?${a}=${b}`, `${a}://a:1?rate=${b}`]) {
        try {
          readExportConfig({ collector: [collector], source: b, templateRefresh: a });
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
        }
      }
    }),
  );
});
