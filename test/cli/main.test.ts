// The program as a user starts it, for all that it says without metering.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';

const VERSION = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version;

function procflow(...args: string[]): { code: number | null; out: string; err: string } {
  // Without the hooks that tap puts into every Node process below it: as a user runs it.
  const command = ['-u', 'NODE_OPTIONS', 'bin/procflow', ...args];
  const result = spawnSync('env', command, { encoding: 'utf8' });
  return { code: result.status, out: result.stdout, err: result.stderr };
}

t.test('--version and --help are answers, not errors', async (t) => {
  t.same(procflow('--version'), { code: 0, out: `${VERSION}\n`, err: '' });
  for (const args of [['--help'], ['export', '--help'], ['live', '-h'], ['doctor', '-h']]) {
    const { code, out, err } = procflow(...args);
    t.equal(code, 0);
    t.equal(err, '');
    t.match(out, /^Usage: procflow /);
    t.ok(
      out.split('\n').every((line) => line.length <= 100),
      `${args.join(' ')} fits 100 columns`,
    );
  }
});

t.test('help of a command has defaults, units, examples and exit codes', async (t) => {
  const { out } = procflow('export', '--help');
  for (const part of ['(default: 60)', 'seconds', 'Examples:', 'Exit codes:', '--netns']) {
    t.match(out, part);
  }
});

const EXPORT = ['export', '-i', 'lo', '-n', '127.0.0.1:9'];
const wrong: readonly { args: readonly string[]; err: RegExp }[] = [
  { args: ['nonsense'], err: /unknown command 'nonsense'/ },
  { args: ['live', '--nonsense'], err: /unknown option '--nonsense'/ },
  { args: ['doctor', 'eth0'], err: /too many arguments/ },
  { args: ['live', 'eth0'], err: /filter "eth0": .*-i names interfaces/ },
  {
    args: ['live', 'udp', 'prot', '53'],
    err: /filter "udp prot 53": .*syntax error .*pcap-filter/,
  },
  { args: [...EXPORT, 'wlan type mgt'], err: /filter "wlan type mgt": 802.11 .*only on 802.11/ },
  { args: ['live', '--capture', 'sockets', 'ether multicast'], err: /filter .*ether/ },
  { args: ['live', '-i', 'any', '-i', 'lo'], err: /-i any: already means all/ },
  { args: ['live', '--idle-timeout', 'soon'], err: /--idle-timeout soon: is not a number/ },
  { args: ['live', '--kernel-name', 'sixteen-octets--'], err: /--kernel-name .* 15 octets/ },
  { args: [...EXPORT, '--unknown-name', 'a\x1bb'], err: /--unknown-name: .*control character/ },
  { args: [...EXPORT, '--profile', 'all'], err: /--profile all: .*process, full or standard/ },
  { args: ['export'], err: /-i: no interface given/ },
  { args: ['export', '-i', 'lo'], err: /-n: no collector given .*"procflow live"/ },
  { args: ['export', '-n', '127.0.0.1:9'], err: /-i: no interface given/ },
  { args: [...EXPORT, '--capture', 'sockets'], err: /-i lo: cannot be chosen with --capture/ },
  { args: [...EXPORT, '-v', '7'], err: /-v 7: no such export version/ },
  { args: ['export', '-i', 'lo', '-v', '9', '-n', 'x'], err: /-n x: has no port/ },
  { args: [...EXPORT, '-v', '9', '--source', '::1'], err: /another IP version/ },
];

t.test('a wrong command line is one line on stderr and exit code 2', async (t) => {
  for (const { args, err } of wrong) {
    const result = procflow(...args);
    t.match(result, { code: 2, out: '', err }, args.join(' '));
    t.match(result.err, /^procflow: [^\n]+\n$/, `one line: ${result.err}`);
  }
});

t.test('without a command the help goes to stderr, with exit code 2', async (t) => {
  t.match(procflow(), { code: 2, out: '', err: /^Usage: procflow/ });
});

t.test('a collector that cannot be found is one line and exit code 1', async (t) => {
  const result = procflow('export', '-i', 'lo', '-n', 'name.invalid:9995', '-v', '9');
  t.equal(result.code, 1);
  t.match(result.err, /^procflow: look up the collector name\.invalid: [^\n]+\n$/);
});

t.test('--debug adds the stack, before the command as after it', async (t) => {
  for (const args of [
    ['live', '-i', 'no/name', '--debug'],
    ['--debug', 'live', '-i', 'no/name'],
  ]) {
    const result = procflow(...args);
    t.equal(result.code, 2);
    t.match(result.err, /^procflow: -i no\/name: [^\n]+\nConfigError: [^]*meter-config\.[jt]s/);
  }
});
