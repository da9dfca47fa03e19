import { readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { readCgroupLines, readProcFiles, startTicks } from '../../src/process/proc-files.js';

/** What follows the name in /proc/PID/stat, up to field 22 and one more. */
function statOf(name: string, ticks: number | string): string {
  const between = Array.from({ length: 17 }, (_, i) => i).join(' ');
  return `7 (${name}) S 1 ${between} ${ticks} 123\n`;
}

function procOf(t: Tap, stat: string, files: Readonly<Record<string, string>> = {}): string {
  return t.testdir({ '7': { stat, ...files } });
}
type Tap = Pick<typeof t, 'testdir'>;

t.test('the start is field 22, whatever the name holds', async (t) => {
  for (const name of ['cat', 'a b', ') S 1 2 (', '(((', ')']) {
    t.equal(startTicks(statOf(name, 4711)), 4711, name);
  }
  for (const stat of ['', 'nonsense', '7 (cat) S 1', statOf('cat', 'x')]) {
    t.ok(Number.isNaN(startTicks(stat)), JSON.stringify(stat));
  }
});

t.test('a process is read', async (t) => {
  const root = procOf(t, statOf('x', 100), {
    cmdline: 'server\0--port\x0080\0',
    cgroup: '2:pids:/a\n0::/b:c\n',
  });
  symlinkSync('/usr/sbin/server (deleted)', join(root, '7/exe'));
  t.same(readProcFiles(7, 1_003_000_000, root), {
    executable: '/usr/sbin/server',
    commandLine: 'server --port 80',
  });
  t.same(readCgroupLines(7, 1_003_000_000, root), ['2:pids:/a', '0::/b:c']);
});

t.test('a pid that another process has now is not read', async (t) => {
  const root = procOf(t, statOf('x', 100), { cmdline: 'other\0', cgroup: '0::/other\n' });
  for (const { startNs, is } of [
    { startNs: 1_000_000_000, is: true },
    { startNs: 1_009_999_999, is: true },
    { startNs: 999_999_000, is: false },
    { startNs: 1_010_001_000, is: false },
    { startNs: 0, is: false },
  ]) {
    t.equal(readProcFiles(7, startNs, root) !== undefined, is, String(startNs));
    t.equal(readCgroupLines(7, startNs, root).length > 0, is, String(startNs));
  }
  t.equal(readProcFiles(8, 1_000_000_000, root), undefined, 'no such pid');
});

t.test('what may not be read is empty', async (t) => {
  const root = procOf(t, statOf('x', 100));
  t.same(readProcFiles(7, 1_000_000_000, root), { executable: '', commandLine: '' });
});

t.test('a long command line is cut', async (t) => {
  const root = procOf(t, statOf('x', 100), { cmdline: 'x'.repeat(100_000) });
  t.equal(readProcFiles(7, 1_000_000_000, root)?.commandLine, 'x'.repeat(1024));
});

t.test('any content of /proc gives strings or nothing', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (garbage) => {
      const ticks = startTicks(garbage);
      if (!(Number.isNaN(ticks) || ticks >= 0)) throw new Error(String(ticks));
    }),
  );
  const root = procOf(t, '\xff'.repeat(100), { cmdline: '\0\0\0', cgroup: '\0' });
  t.equal(readProcFiles(7, 0, root), undefined);
});

t.test('this process is found in the real /proc', async (t) => {
  const ticks = startTicks(readFileSync('/proc/self/stat', 'latin1'));
  const files = readProcFiles(process.pid, ticks * 1e7 + 1234);
  t.equal(files?.executable, readlinkSync('/proc/self/exe'));
  t.match(files?.commandLine, /proc-files\.test/);
  t.equal(readProcFiles(process.pid, ticks * 1e7 - 1e7), undefined);
});
