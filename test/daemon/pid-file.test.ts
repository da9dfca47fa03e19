import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { writePidFile } from '../../src/daemon/pid-file.js';
import { temporaryDirectory } from '../support/control.js';

t.test('has the process id and is gone afterwards', async (t) => {
  const path = join(temporaryDirectory(t), 'pid');
  const mask = process.umask(0o022);
  t.teardown(() => process.umask(mask));
  const file = writePidFile(path);
  t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`);
  t.equal(lstatSync(path).mode & 0o777, 0o644);
  file.remove();
  t.notOk(existsSync(path));
});

t.test('one that a run left is replaced, as a whole', async (t) => {
  const path = join(temporaryDirectory(t), 'pid');
  writeFileSync(path, '4194303 and more\n');
  const file = writePidFile(path);
  t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`);
  file.remove();
});

t.test('one that a living procflow holds is not', async (t) => {
  const path = join(temporaryDirectory(t), 'pid');
  const file = writePidFile(path);
  t.throws(() => writePidFile(path), {
    message: `-p ${path}: is held by procflow, process ${process.pid} (stop it, or choose another file)`,
  });
  t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`, 'it is left alone');
  file.remove();
});

t.test('removes nothing but itself', async (t) => {
  const path = join(temporaryDirectory(t), 'pid');
  const first = writePidFile(path);
  writeFileSync(`${path}.new`, 'another');
  renameSync(`${path}.new`, path);
  first.remove();
  t.equal(readFileSync(path, 'utf8'), 'another');
});

t.test('what is no file is refused', async (t) => {
  const directory = temporaryDirectory(t);
  const target = join(directory, 'precious');
  writeFileSync(target, 'precious');
  symlinkSync(target, join(directory, 'link'));
  mkdirSync(join(directory, 'directory'));
  const cases = [
    { name: 'link', message: /ELOOP \(it is a symbolic link/ },
    { name: 'directory', message: /EISDIR/ },
    { name: 'none/pid', message: /ENOENT \(its directory must exist and be writable\)/ },
  ];
  for (const { name, message } of cases) {
    t.throws(() => writePidFile(join(directory, name)), { name: 'ConfigError', message });
  }
  t.throws(() => writePidFile('/dev/null'), { message: /is not a regular file/ });
  t.equal(readFileSync(target, 'utf8'), 'precious');
});
