import fc from 'fast-check';
import t from 'tap';
import { ConfigError } from '../../src/daemon/config-error.js';
import {
  readExportConfig,
  readMeterConfig,
  type ExportSettings,
  type MeterSettings,
} from '../../src/daemon/meter-config.js';

const METER: MeterSettings = {
  capture: 'interface',
  interface: ['eth0'],
  activeTimeout: '60',
  idleTimeout: '15',
  maxFlows: '65536',
  sampling: 'none',
  attach: 'auto',
  kernelName: '(kernel)',
  forwardedName: '(forwarded)',
  unknownName: '(unknown)',
};
const EXPORT: ExportSettings = {
  collector: '192.0.2.1:9995',
  exportVersion: '9',
  observationDomain: '0',
  templateRefresh: '60',
  profile: 'process',
};

t.test('plain settings are taken as they are, with times in milliseconds', async (t) => {
  t.same(readMeterConfig(METER), {
    capture: 'interface',
    interfaces: ['eth0'],
    activeTimeoutMs: 60_000,
    idleTimeoutMs: 15_000,
    maxFlows: 65_536,
    sampling: { kind: 'none' },
    attach: 'auto',
    nonProcessNames: { kernel: '(kernel)', forwarded: '(forwarded)', unknown: '(unknown)' },
  });
  t.same(readExportConfig(EXPORT), {
    version: 9,
    collector: { host: '192.0.2.1', port: 9995 },
    observationDomainId: 0,
    templateRefreshMs: 60_000,
    maxMessageOctets: 1372,
    profile: 'process',
  });
});

const goodMeter: readonly { given: Partial<MeterSettings>; expected: object }[] = [
  { given: { interface: ['any'] }, expected: { interfaces: 'any' } },
  { given: { interface: ['any', 'any'] }, expected: { interfaces: 'any' } },
  { given: { interface: ['lo', 'eth0.7', 'lo'] }, expected: { interfaces: ['lo', 'eth0.7'] } },
  { given: { interface: ['fifteen-octets-'] }, expected: { interfaces: ['fifteen-octets-'] } },
  { given: { idleTimeout: '0.5' }, expected: { idleTimeoutMs: 500 } },
  { given: { idleTimeout: '.25' }, expected: { idleTimeoutMs: 250 } },
  { given: { activeTimeout: '604800' }, expected: { activeTimeoutMs: 604_800_000 } },
  { given: { maxFlows: '1' }, expected: { maxFlows: 1 } },
  { given: { attach: 'clsact' }, expected: { attach: 'clsact' } },
  { given: { kernelName: '' }, expected: { nonProcessNames: { kernel: '' } } },
  {
    given: { unknownName: 'fünfzehn Okt.!' },
    expected: { nonProcessNames: { unknown: 'fünfzehn Okt.!' } },
  },
  { given: { netns: 'blue' }, expected: { netns: 'blue' } },
  { given: { cgroup: '/sys/fs/cgroup/a' }, expected: { cgroup: '/sys/fs/cgroup/a' } },
];

t.test('the sockets are metered without naming an interface', async (t) => {
  const config = readMeterConfig({ ...METER, capture: 'sockets', interface: [] });
  t.equal(config.capture, 'sockets');
  t.notOk('interfaces' in config);
});

t.test('good settings of a meter', async (t) => {
  for (const { given, expected } of goodMeter) {
    t.match(readMeterConfig({ ...METER, ...given }), expected, JSON.stringify(given));
  }
});

const badMeter: readonly { given: Partial<MeterSettings>; message: string | RegExp }[] = [
  { given: { interface: [] }, message: /^-i: no interface given \("ip link"/ },
  { given: { interface: [''] }, message: /without a name/ },
  { given: { interface: ['sixteen-octets--'] }, message: /^-i sixteen-octets--: .*at most 15/ },
  { given: { interface: ['../x'] }, message: /not an interface name/ },
  { given: { interface: ['a b'] }, message: /not an interface name/ },
  { given: { interface: ['any', 'lo'] }, message: /already means all interfaces/ },
  {
    given: { idleTimeout: '5x' },
    message:
      '--idle-timeout 5x: is not a number of seconds (give seconds from 0.1 to 604800, such as 15 or 2.5)',
  },
  { given: { idleTimeout: '' }, message: /is not a number/ },
  { given: { idleTimeout: '-1' }, message: /is not a number/ },
  { given: { idleTimeout: '1e3' }, message: /is not a number/ },
  { given: { idleTimeout: 'Infinity' }, message: /is not a number/ },
  { given: { idleTimeout: '0' }, message: /out of range/ },
  { given: { activeTimeout: '604801' }, message: /^--active-timeout 604801: is out of range/ },
  { given: { maxFlows: '0' }, message: /^--max-flows 0: is out of range \(give one from 1 to/ },
  { given: { maxFlows: '1.5' }, message: /not a whole number/ },
  { given: { attach: 'xdp' }, message: /^--attach xdp: .*give auto, tcx or clsact/ },
  {
    given: { kernelName: 'sixteen-octets--' },
    message:
      '--kernel-name sixteen-octets--: has more than 15 octets (give up to 15 octets, such as "(none)"; "" exports no name)',
  },
  { given: { unknownName: 'fünfzehn Okt.!!' }, message: /^--unknown-name .*more than 15 octets/ },
  {
    given: { forwardedName: 'a\x1b[2J' },
    message: /^--forwarded-name: has a .* control character/,
  },
  { given: { forwardedName: '\u202e' }, message: /control character/ },
  { given: { forwardedName: 'a"b' }, message: /has a quote/ },
  { given: { netns: '' }, message: /^--netns: is empty/ },
  {
    given: { capture: 'tap' },
    message: '--capture tap: no such place (give interface or sockets)',
  },
  {
    given: { capture: 'sockets' },
    message:
      '-i eth0: cannot be chosen with --capture sockets: packets of all interfaces are metered (--cgroup narrows it; or use --capture interface)',
  },
  {
    given: { capture: 'sockets', interface: [], netns: 'blue' },
    message: /^--netns blue: .*all network namespaces are metered \(--cgroup narrows it/,
  },
  {
    given: { capture: 'sockets', interface: [], attach: 'tcx' },
    message: /^--attach tcx: is for interfaces/,
  },
  { given: { cgroup: 'system.slice' }, message: /not an absolute path/ },
];

t.test('a bad setting of a meter is named, with what to give instead', async (t) => {
  for (const { given, message } of badMeter) {
    const read = (): unknown => readMeterConfig({ ...METER, ...given });
    t.throws(read, { name: 'ConfigError', message }, JSON.stringify(given));
  }
});

const goodExport: readonly { given: Partial<ExportSettings>; expected: object }[] = [
  {
    given: { collector: '[2001:db8::1]:2055' },
    expected: { collector: { host: '2001:db8::1', port: 2055 } },
  },
  {
    given: { collector: '[fe80::1%eth0]:2055' },
    expected: { collector: { host: 'fe80::1%eth0', port: 2055 } },
  },
  {
    given: { collector: 'collector.example.net:65535' },
    expected: { collector: { host: 'collector.example.net', port: 65535 } },
  },
  { given: { exportVersion: '10' }, expected: { version: 10 } },
  { given: { observationDomain: '4294967295' }, expected: { observationDomainId: 4294967295 } },
  { given: { templateRefresh: '1.5' }, expected: { templateRefreshMs: 1500 } },
  { given: { profile: 'full' }, expected: { profile: 'full' } },
  { given: { profile: 'standard' }, expected: { profile: 'standard' } },
  { given: { source: '192.0.2.7' }, expected: { source: { address: '192.0.2.7' } } },
  { given: { source: '192.0.2.7:5' }, expected: { source: { address: '192.0.2.7', port: 5 } } },
  {
    given: { source: '::1', collector: '[::1]:1' },
    expected: { source: { address: '::1' } },
  },
  {
    given: { source: '[::1]:7', collector: 'localhost:1' },
    expected: { source: { address: '::1', port: 7 } },
  },
];

t.test('good settings of an exporter', async (t) => {
  for (const { given, expected } of goodExport) {
    t.match(readExportConfig({ ...EXPORT, ...given }), expected, JSON.stringify(given));
  }
});

const badExport: readonly { given: Partial<ExportSettings>; message: string | RegExp }[] = [
  {
    given: { collector: '192.0.2.1' },
    message:
      '-n 192.0.2.1: has no port (give HOST:PORT, such as 192.0.2.1:9995 or [2001:db8::1]:9995)',
  },
  { given: { collector: '' }, message: /^-n : is not an address with a port/ },
  { given: { collector: ':9995' }, message: /not an address with a port/ },
  { given: { collector: '::1:9995' }, message: /unclear/ },
  { given: { collector: '[::1]' }, message: /has no port/ },
  { given: { collector: '[192.0.2.1]:9995' }, message: /not an IPv6 address/ },
  { given: { collector: '[]:9995' }, message: /not an IPv6 address/ },
  { given: { collector: '300.1.1.1:9995' }, message: /300.1.1.1 is not an IPv4 address/ },
  { given: { collector: 'host:0' }, message: /0 is not a port/ },
  { given: { collector: 'host:65536' }, message: /65536 is not a port/ },
  { given: { collector: 'host:http' }, message: /not an address with a port/ },
  { given: { collector: 'a b:1' }, message: /not an address with a port/ },
  { given: { exportVersion: '5' }, message: /^-v 5: .*give 9 for NetFlow v9 or 10 for IPFIX/ },
  { given: { exportVersion: '09' }, message: /no such export version/ },
  { given: { observationDomain: '4294967296' }, message: /out of range/ },
  { given: { observationDomain: 'x' }, message: /not a whole number/ },
  { given: { templateRefresh: 'never' }, message: /^--template-refresh never: is not a number/ },
  { given: { templateRefresh: '0.5' }, message: /out of range \(give seconds from 1 to/ },
  {
    given: { profile: 'everything' },
    message: '--profile everything: no such set of fields (give process, full or standard)',
  },
  { given: { source: 'eth0' }, message: /^--source eth0: is not an IP address/ },
  { given: { source: '192.0.2.7:0' }, message: /is not a port/ },
  { given: { source: '::1' }, message: /another IP version than the collector 192.0.2.1/ },
];

t.test('a bad setting of an exporter is named, with what to give instead', async (t) => {
  for (const { given, message } of badExport) {
    const read = (): unknown => readExportConfig({ ...EXPORT, ...given });
    t.throws(read, { name: 'ConfigError', message }, JSON.stringify(given));
  }
});

t.test('any text gives a configuration or a ConfigError', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      for (const read of [
        () => readMeterConfig({ ...METER, interface: [a], idleTimeout: b, maxFlows: a }),
        () => readExportConfig({ ...EXPORT, collector: a, source: b }),
        () => readExportConfig({ ...EXPORT, collector: `${a}:${b}`, templateRefresh: b }),
      ]) {
        try {
          read();
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
        }
      }
    }),
  );
});
