import { renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parsePasswd, UserNames } from '../../src/process/user-names.js';

const PASSWD = 'root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\n';

t.test('parsePasswd takes the good lines and leaves the rest', async (t) => {
  const cases: readonly { name: string; text: string; expected: [number, string][] }[] = [
    {
      name: 'plain',
      text: PASSWD,
      expected: [
        [0, 'root'],
        [1000, 'alice'],
      ],
    },
    { name: 'no newline at the end', text: 'a:x:1:1', expected: [[1, 'a']] },
    { name: 'first of two names for an id', text: 'a:x:1:1\nb:x:1:1\n', expected: [[1, 'a']] },
    { name: 'empty', text: '', expected: [] },
    {
      name: 'NIS entries and comments',
      text: '+::::::\n+joe:x:5:5\n-x:x:6:6\n#c:x:7:7',
      expected: [],
    },
    {
      name: 'broken ids',
      text: 'a:x:-1:1\nb:x:x:1\nc:x::1\nd:x:1e3:1\ne:x:4294967296:1',
      expected: [],
    },
    { name: 'largest id', text: 'a:x:4294967295:1', expected: [[4294967295, 'a']] },
    { name: 'a name in UTF-8', text: 'zoë:x:9:9', expected: [[9, 'zoë']] },
  ];
  for (const { name, text, expected } of cases) t.same([...parsePasswd(text)], expected, name);
});

t.test('names known ids, and gives digits for the others', async (t) => {
  const names = new UserNames({ path: join(t.testdir({ passwd: PASSWD }), 'passwd') });
  t.equal(names.userName(0), 'root');
  t.equal(names.userName(1000), 'alice');
  t.equal(names.userName(4294967295), '4294967295');
  t.equal(Buffer.from(names.userNameBytes(1000)).toString(), 'alice');
  t.equal(names.userNameBytes(1000), names.userNameBytes(1000), 'the bytes are made once');
});

t.test('sees a changed file after a second, and looks no more often', async (t) => {
  const path = join(t.testdir({ passwd: PASSWD }), 'passwd');
  let now = 0;
  const names = new UserNames({ path, nowMs: () => now });
  t.equal(names.userName(1001), '1001');

  // As useradd does it: a new file under the old name.
  writeFileSync(`${path}+`, `${PASSWD}bob:x:1001:1001::/:/bin/sh\n`);
  renameSync(`${path}+`, path);
  now = 999;
  t.equal(names.userName(1001), '1001');
  now = 1000;
  t.equal(names.userName(1001), 'bob');

  writeFileSync(path, 'eve:x:1001:1:same length as before?');
  utimesSync(path, 1, 1);
  now = 2000;
  t.equal(names.userName(1001), 'eve', 'changed in place');
});

t.test('without the file ids are digits; a file that goes leaves its names', async (t) => {
  const path = join(t.testdir({}), 'passwd');
  let now = 0;
  const names = new UserNames({ path, nowMs: () => now });
  t.equal(names.userName(0), '0');
  writeFileSync(path, PASSWD);
  now += 1000;
  t.equal(names.userName(0), 'root');
  rmSync(path);
  now += 1000;
  t.equal(names.userName(0), 'root');
});

t.test('stays bounded and right when more ids are asked for than it keeps', async (t) => {
  const names = new UserNames({ path: join(t.testdir({ passwd: PASSWD }), 'passwd') });
  for (let uid = 100_000; uid < 140_000; uid++) {
    if (names.userName(uid) !== String(uid)) t.fail(`uid ${uid}`);
  }
  t.equal(names.userName(0), 'root');
});
