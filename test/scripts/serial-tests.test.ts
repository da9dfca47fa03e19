// Which tests run alone: all that see the machine, but for those that are named.
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { inOrder, runsAlone } from '../../scripts/serial-tests.js';

/** What it takes to meter something. */
const ATTACHES = /createCgroup|bringUp|(start|run)Generator|startExport|startSession/;

t.ok(runsAlone('build/test/end-to-end/exact-counts.test.js'));
t.ok(runsAlone('build/test/kernel/one-that-is-new.test.js'));
t.notOk(runsAlone('build/test/kernel/expiry.test.js'));
t.notOk(runsAlone('build/test/flow/clock.test.js'));

t.same(
  inOrder([
    'build/test/end-to-end/daemon.test.js',
    'build/test/end-to-end/replay-flows.test.js',
    'build/test/flow/clock.test.js',
  ]),
  [
    'build/test/end-to-end/replay-flows.test.js',
    'build/test/flow/clock.test.js',
    'build/test/end-to-end/daemon.test.js',
  ],
);

t.test('who is named exists, and attaches nothing', async (t) => {
  const source = readFileSync('scripts/serial-tests.ts', 'utf8');
  const folders = { TEST_RUNS: 'kernel', CAPTURE_FILES: 'end-to-end' } as const;
  for (const [list, folder] of Object.entries(folders)) {
    const [, names = ''] = new RegExp(`const ${list} = \\[([^]*?)\\]\\.map`).exec(source) ?? [];
    const files = [...names.matchAll(/'([a-z-]+)'/g)].map(([, name]) => `${folder}/${name}`);
    t.ok(files.length > 5, list);
    for (const file of files) {
      const path = `test/${file}.test.ts`;
      t.ok(existsSync(path), path);
      t.notOk(ATTACHES.test(readFileSync(path, 'utf8')), path);
    }
  }
});
