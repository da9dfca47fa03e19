// softflowd's options in procflow's words.
import t from 'tap';
import {
  hopLimitNotices,
  readSoftflowdWords,
  type SoftflowdContext,
  type SoftflowdWords,
} from '../../src/daemon/softflowd-settings.js';

const CONTEXT: SoftflowdContext = {
  version: '10',
  collectors: ['192.0.2.1:4739'],
  isReplay: false,
  isSoftflowd: true,
};

const read = (words: SoftflowdWords, context: Partial<SoftflowdContext> = {}): unknown =>
  readSoftflowdWords(words, { ...CONTEXT, ...context });

const meanings: readonly {
  words: SoftflowdWords;
  context?: Partial<SoftflowdContext>;
  expected: object;
}[] = [
  { words: {}, expected: { collector: ['192.0.2.1:4739'], isBidirectional: false, notices: [] } },
  { words: { bidirectional: true }, expected: { isBidirectional: true, notices: [] } },
  { words: { sampleRate: '100' }, expected: { sampling: 'count:100' } },
  { words: { sampleRate: '1' }, expected: { sampling: 'none' } },
  { words: { transport: 'TCP' }, expected: { transport: 'tcp' } },
  { words: { timeFormat: 'Micro' }, expected: { timePrecision: 'us', notices: [] } },
  { words: { timeFormat: 'nano' }, expected: { timePrecision: 'ns' } },
  {
    words: { timeFormat: 'sec' },
    expected: { timePrecision: 'ms', notices: [/^-A sec: .* milliseconds/] },
  },
  {
    words: { hopLimit: '64', sendInterface: 'eth1' },
    expected: { hopLimit: '64', device: 'eth1' },
  },
  { words: { mplsLabels: '0' }, expected: { notices: [] } },
  {
    words: {},
    context: { collectors: ['a:1,[::1]:2', 'udp://b:3?options=types,sampling'] },
    expected: { collector: ['a:1', '[::1]:2', 'udp://b:3?options=types,sampling'] },
  },
  {
    words: {},
    context: { collectors: ['2001:db8::1:9'] },
    expected: { collector: ['[2001:db8::1]:9'] },
  },
  {
    words: {},
    context: { collectors: ['2001:db8::1:9'], isSoftflowd: false },
    expected: { collector: ['2001:db8::1:9'] },
  },
];

t.test('each option stands for a setting', async (t) => {
  for (const { words, context, expected } of meanings) {
    t.match(read(words, context), expected, JSON.stringify({ words, context }));
  }
});

const withoutEffect: readonly {
  words: SoftflowdWords;
  context?: Partial<SoftflowdContext>;
  notice: RegExp;
}[] = [
  { words: { promiscuous: false }, notice: /^-N changes nothing: .*promiscuous/ },
  { words: { bufferOctets: '1000000' }, notice: /^-B changes nothing/ },
  { words: { captureOctets: '96' }, notice: /^-C changes nothing/ },
  { words: { threads: true }, notice: /^-M changes nothing/ },
  { words: { ipv6: true }, notice: /^-6 changes nothing: IPv6 is always metered/ },
  { words: { adjustTime: true }, notice: /^-a changes nothing: it is for capture files/ },
  {
    words: { bidirectional: true },
    context: { version: '5' },
    notice: /^-b changes nothing: only IPFIX .*this is NetFlow v5/,
  },
  {
    words: { timeFormat: 'micro' },
    context: { version: '9' },
    notice: /^-A changes nothing: only IPFIX .*this is NetFlow v9/,
  },
];

t.test('an option without effect is accepted, and said to be without', async (t) => {
  for (const { words, context, notice } of withoutEffect) {
    t.match(read(words, context), { notices: [notice] }, JSON.stringify({ words, context }));
  }
  t.match(read({ adjustTime: true }, { isReplay: true }), { notices: [] });
});

t.test('a hop limit changes something for multicast groups only', async (t) => {
  for (const host of ['224.0.1.20', 'ff02::1', 'collector.example']) {
    t.same(hopLimitNotices('64', ['192.0.2.1', host]), [], host);
  }
  t.match(hopLimitNotices('64', ['192.0.2.1', '2001:db8::1', undefined]), [/^-L 64 changes noth/]);
  t.same(hopLimitNotices(undefined, ['192.0.2.1']), []);
});

const refused: readonly {
  words: SoftflowdWords;
  context?: Partial<SoftflowdContext>;
  message: RegExp;
}[] = [
  { words: {}, context: { version: 'psamp' }, message: /^-v psamp: PSAMP.* is not supported/ },
  { words: { receivePort: '4739' }, message: /^-R 4739: receiving PSAMP is not supported/ },
  { words: { mplsLabels: '3' }, message: /^-x 3: MPLS labels are not supported/ },
  {
    words: { hopLimit: '256' },
    context: { collectors: [] },
    message: /^-L 256: is out of range \(give one from 0 to 255\)/,
  },
  {
    words: { hopLimit: 'x' },
    context: { collectors: [] },
    message: /^-L x: is not a whole number/,
  },
  { words: { mplsLabels: '11' }, message: /^-x 11: is out of range/ },
  { words: { transport: 'sctp' }, message: /^-P sctp: SCTP is not supported/ },
  { words: { transport: 'dccp' }, message: /^-P dccp: no such transport/ },
  { words: { timeFormat: 'hours' }, message: /^-A hours: .*sec, milli, micro or nano/ },
  { words: { sampleRate: 'x' }, message: /^-s x: is not a whole number/ },
  { words: { bufferOctets: 'x' }, message: /^-B x: is not a whole number/ },
  { words: { captureOctets: '-1' }, message: /^-C -1: is not a whole number/ },
  { words: { transport: 'tcp', sendInterface: 'eth1' }, message: /^-S eth1: is for UDP/ },
  { words: { sampleRate: '9' }, context: { sampling: 'none' }, message: /same as --sampling/ },
  {
    words: { timeFormat: 'nano' },
    context: { timePrecision: 'ns' },
    message: /^-A nano: says the same as --time-precision/,
  },
];

t.test('what cannot be had is refused by name', async (t) => {
  for (const { words, context, message } of refused) {
    t.throws(() => read(words, context), { name: 'ConfigError', message }, String(message));
  }
});
