// Hostile words on a command line: settings, or an error for whoever wrote them, at once.
import t from 'tap';
import { readSettings, type ExportOptionValues } from '../../src/cli/export-settings.js';
import { harmlessLine } from '../../src/cli/printable.js';
import { EXPORT_DEFAULTS, SOFTFLOWD_DEFAULTS } from '../../src/cli/program-name.js';
import type { CollectorSettingTexts } from '../../src/daemon/collector-settings.js';
import { ConfigError } from '../../src/daemon/config-error.js';
import { describeError } from '../../src/daemon/describe-error.js';
import { findServicePort } from '../../src/daemon/service-ports.js';
import { cpuTimeMs } from '../support/cpu-time.js';
import { fuzz } from './fuzz-rounds.js';
import { expectHarmless, hostileText } from './hostile-texts.js';
import type { Random } from './random.js';

const LINES = 200;
/** Of one command line; a slow one is a loop that grows with its words. */
const PATIENCE_MS = 2000;

/** What each setting takes, from which others are made. */
const TEXTS: Readonly<Record<keyof CollectorSettingTexts, readonly string[]>> = {
  version: ['1', '5', '9', '10', 'psamp'],
  profile: ['process', 'standard', 'full'],
  elements: [
    'sourceIPv4Address,protocolIdentifier',
    'octetDeltaCount packetDeltaCount',
    '@/dev/null',
  ],
  nameFormat: ['{comm}', '{comm}/{pid} {{x}}', '{user}@{container}'],
  userFormat: ['{user}', '{uid}'],
  nfdumpAppname: ['yes', 'no', ''],
  timePrecision: ['ms', 'us', 'ns'],
  biflow: ['yes', 'no'],
  observationDomain: ['0', '7', '4294967295'],
  templateRefresh: ['60', '10m', '1h30m'],
  templateRefreshMessages: ['1', '1000'],
  options: ['all', 'none', 'sampling,interfaces'],
  optionsPeriod: ['600', '10m'],
  messageOctets: ['512', '1372', '65507'],
  rate: ['1', '10000'],
  backlog: ['0', '64K', '16M', '1G'],
};

const METER_WORDS: Readonly<Record<string, readonly string[]>> = {
  activeTimeout: ['60', '2.5', '1h30m', '.5'],
  idleTimeout: ['15', '1m'],
  maxFlows: ['1', '65536', '16777216'],
  sampling: ['none', '10', 'random:10', 'flow:3'],
  track: ['full', 'ether', 'vlan', 'proto', 'ip', 'PORT'],
  attach: ['auto', 'tcx', 'clsact'],
  capture: ['interface', 'sockets'],
  kernelName: ['(kernel)', ''],
  forwardedName: ['(forwarded)'],
  unknownName: ['(unknown)'],
  netns: ['blue', '/proc/1/ns/net'],
  cgroup: ['/sys/fs/cgroup', 'relative'],
  source: ['192.0.2.7', '[::1]:5', '192.0.2.7:99'],
  control: ['none', '/run/a'],
  pidfile: ['/run/b'],
  read: ['-', 'file.pcap'],
  bufferOctets: ['100'],
  captureOctets: ['100'],
  mplsLabels: ['3'],
  receivePort: ['9995'],
  sampleRate: ['10', '0'],
  transport: ['udp', 'tcp', 'sctp'],
  timeFormat: ['sec', 'milli', 'micro', 'nano'],
  hopLimit: ['1', '255'],
  sendInterface: ['eth0'],
};

const MANY: Readonly<Record<string, readonly string[]>> = {
  interface: ['eth0', '7:eth0', 'any', '3:any'],
  timeout: ['tcp=10m', 'maxlife=0', 'expint=5', 'general=1h', 'udp=.5'],
  collector: [
    ...['192.0.2.1:9995', '[2001:db8::1]:2055', 'localhost:netflow', '192.0.2.1:1,192.0.2.2:2'],
    'udp://239.1.2.3:4739?hops=3&device=eth1&resolve=10m&source=192.0.2.7',
    'tls://a.example:4740?version=10&ca=/a.pem&cert=/b&key=/c&servername=d&verify=no&stall=0',
    ...['tcp://a:1?reconnect=5', 'unix:///run/a.sock', 'file:///a.ipfix?rotate=5m&size=64M'],
    'udp://a:1?elements=octetDeltaCount&name-format=%7Bcomm%7D&backlog=1M&biflow=yes',
  ],
};

function wordOf(random: Random, usual: readonly string[]): string {
  const word = random.pick([...usual, ...usual, 'no']);
  if (random.oneIn(2)) return word;
  if (random.oneIn(4)) return hostileText(random);
  const at = random.below(word.length + 1);
  const end = random.oneIn(2) ? at : Math.min(word.length, at + random.between(1, 3));
  const other = random.oneIn(2)
    ? random.pick(['0', '9', '-', '.', '%', '&', '=', ':', ',', 's', 'm'])
    : hostileText(random, 2);
  const changed = word.slice(0, at) + other + word.slice(end);
  // What a loop that grows with the square of its word would take long for.
  return random.oneIn(40) ? changed.repeat(random.between(100, 3000)) : changed;
}

function wordsOf(
  random: Random,
  usual: Readonly<Record<string, readonly string[]>>,
  oneIn: number,
): Record<string, string> {
  const given = Object.entries(usual).filter(() => random.oneIn(oneIn));
  return Object.fromEntries(given.map(([name, words]) => [name, wordOf(random, words)] as const));
}

const REQUIRED = {
  ...{ activeTimeout: '60', idleTimeout: '15', maxFlows: '65536', sampling: 'none', track: 'full' },
  ...{ attach: 'auto', capture: 'interface', kernelName: '', forwardedName: '', unknownName: '' },
};

function optionsOf(random: Random): ExportOptionValues {
  const many = Object.entries(MANY).map(([name, words]) => [
    name,
    Array.from({ length: random.between(0, 3) }, () => wordOf(random, words)),
  ]);
  const flags = ['balance', 'ipv6', 'bidirectional', 'adjustTime', 'trackProcess', 'verbose'];
  const given = flags.filter(() => random.oneIn(8)).map((flag) => [flag, true]);
  const options: Readonly<Record<string, unknown>> = {
    ...REQUIRED,
    ...wordsOf(random, METER_WORDS, 12),
    ...Object.fromEntries([...many, ...given]),
    filter: random.oneIn(4) ? [hostileText(random)] : [],
  };
  return options as unknown as ExportOptionValues;
}

function readLine(random: Random): void {
  const options = optionsOf(random);
  const texts = wordsOf(random, TEXTS, 10) as CollectorSettingTexts;
  const given = JSON.stringify({ options, texts }).slice(0, 3000);
  const begin = cpuTimeMs();
  try {
    const defaults = random.oneIn(3) ? SOFTFLOWD_DEFAULTS : EXPORT_DEFAULTS;
    const { notices } = readSettings(options, texts, { defaults, isGiven: () => random.oneIn(2) });
    for (const line of notices) expectHarmless(harmlessLine(line), 'a notice');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw new Error(given, { cause: error });
    expectHarmless(harmlessLine(describeError(error).line), 'an error');
  }
  const elapsedMs = cpuTimeMs() - begin;
  if (elapsedMs > PATIENCE_MS) throw new Error(`${elapsedMs} ms for ${given}`);
}

/** /etc/services */
function readServices(random: Random): void {
  const lines = Array.from({ length: 10 }, () =>
    random.oneIn(2) ? `netflow ${random.pick(['2055', ''])}/udp #` : hostileText(random),
  );
  const port = findServicePort(lines.join('\n'), 'netflow', 'udp');
  if (port !== undefined && !Number.isSafeInteger(port)) throw new Error(lines.join('\n'));
}

t.test('any words are settings, or an error for their author', async (t) => {
  await fuzz(t, 'settings', {
    share: 0.06,
    cases: 'command lines',
    round: (random) => {
      for (let i = 0; i < LINES; i++) readLine(random);
      readServices(random);
      return LINES;
    },
  });
});
