import fc from 'fast-check';
import t from 'tap';
import { ConfigError } from '../../src/daemon/config-error.js';
import { readMeterConfig, type MeterSettings } from '../../src/daemon/meter-config.js';
import { timeoutsOf } from '../support/timeouts.js';

const METER: MeterSettings = {
  capture: 'interface',
  interface: ['eth0'],
  activeTimeout: '60',
  idleTimeout: '15',
  maxFlows: '65536',
  sampling: 'none',
  track: 'full',
  attach: 'auto',
  kernelName: '(kernel)',
  forwardedName: '(forwarded)',
  unknownName: '(unknown)',
};

t.test('plain settings are taken as they are, with times in milliseconds', async (t) => {
  t.same(readMeterConfig(METER), {
    capture: 'interface',
    interfaces: ['eth0'],
    timeouts: { ...timeoutsOf(15_000, 60_000), 'tcp.rst': 1000, 'tcp.fin': 1000 },
    maxFlows: 65_536,
    sampling: { kind: 'none' },
    trackLevel: 'full',
    trackProcess: false,
    attach: 'auto',
    nonProcessNames: { kernel: '(kernel)', forwarded: '(forwarded)', unknown: '(unknown)' },
  });
});

const goodMeter: readonly { given: Partial<MeterSettings>; expected: object }[] = [
  { given: { interface: ['any'] }, expected: { interfaces: 'any' } },
  { given: { interface: ['any', 'any'] }, expected: { interfaces: 'any' } },
  { given: { interface: ['lo', 'eth0.7', 'lo'] }, expected: { interfaces: ['lo', 'eth0.7'] } },
  { given: { interface: ['fifteen-octets-'] }, expected: { interfaces: ['fifteen-octets-'] } },
  { given: { idleTimeout: '0.5' }, expected: { timeouts: timeoutsOf(500, 60_000) } },
  { given: { activeTimeout: '1h30m' }, expected: { timeouts: { maxlife: 5_400_000 } } },
  { given: { activeTimeout: '30M1h' }, expected: { timeouts: { maxlife: 5_400_000 } } },
  { given: { activeTimeout: '1D2' }, expected: { timeouts: { maxlife: 86_402_000 } } },
  { given: { idleTimeout: '.25' }, expected: { timeouts: timeoutsOf(250, 60_000) } },
  { given: { activeTimeout: '31536000' }, expected: { timeouts: { maxlife: 31_536_000_000 } } },
  { given: { maxFlows: '1' }, expected: { maxFlows: 1 } },
  { given: { attach: 'clsact' }, expected: { attach: 'clsact' } },
  { given: { kernelName: '' }, expected: { nonProcessNames: { kernel: '' } } },
  {
    given: { unknownName: 'fünfzehn Okt.!' },
    expected: { nonProcessNames: { unknown: 'fünfzehn Okt.!' } },
  },
  { given: { netns: 'blue' }, expected: { netns: 'blue' } },
  { given: { cgroup: '/sys/fs/cgroup/a' }, expected: { cgroup: '/sys/fs/cgroup/a' } },
  { given: { state: '/sys/fs/bpf//a/' }, expected: { state: '/sys/fs/bpf/a/' } },
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
      '--idle-timeout 5x: is not a number of seconds (give seconds from 0.1 to 31536000, such as 15, 2.5 or 1h30m)',
  },
  { given: { idleTimeout: '' }, message: /is not a number/ },
  { given: { idleTimeout: '-1' }, message: /is not a number/ },
  { given: { idleTimeout: '1e3' }, message: /is not a number/ },
  { given: { idleTimeout: 'Infinity' }, message: /is not a number/ },
  { given: { idleTimeout: '0' }, message: /out of range/ },
  { given: { activeTimeout: '31536001' }, message: /^--active-timeout 31536001: is out of range/ },
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
  { given: { track: 'mac' }, message: /^--track mac: there is no such level \(give ether, vlan,/ },
  {
    given: { capture: 'sockets', interface: [], track: 'vlan' },
    message: /^--track vlan: packets have no link layer at sockets/,
  },
  { given: { cgroup: 'system.slice' }, message: /not an absolute path/ },
  { given: { state: 'bpf/procflow' }, message: /^--state bpf.procflow: is not an absolute path/ },
];

t.test('a bad setting of a meter is named, with what to give instead', async (t) => {
  for (const { given, message } of badMeter) {
    const read = (): unknown => readMeterConfig({ ...METER, ...given });
    t.throws(read, { name: 'ConfigError', message }, JSON.stringify(given));
  }
});

t.test('any text gives a configuration or a ConfigError', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      for (const read of [
        () => readMeterConfig({ ...METER, interface: [a], idleTimeout: b, maxFlows: a }),
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
