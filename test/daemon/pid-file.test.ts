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
import { startProgram, type Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement('python3');
const OTHER = { name: 'ConfigError', message: /: is locked by another process \(stop it, or/ };

/** In another process, which says so and keeps the lock; fcntl's are as F_OFD_SETLK has them. */
async function lockElsewhere(t: Teardown, path: string, mode: string, lock: string): Promise<void> {
  const script = `
import fcntl, signal
with open('${path}', '${mode}') as file:
    ${lock}
    print('locked', flush=True)
    signal.pause()`;
  await startProgram(t, 'python3', ['-c', script]).line('out', /locked/);
}

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

t.test('who may only read it keeps nobody from starting', { skip }, async (t) => {
  const locks = ['fcntl.flock(file, fcntl.LOCK_EX)', 'fcntl.lockf(file, fcntl.LOCK_SH)'];
  for (const lock of locks) {
    const path = join(temporaryDirectory(t), 'pid');
    writeFileSync(path, '4194303\n', { mode: 0o644 });
    await lockElsewhere(t, path, 'r', lock);
    const file = writePidFile(path);
    t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`, lock);
    t.equal(lstatSync(path).mode & 0o777, 0o644);
    t.throws(() => writePidFile(path), { message: /is held by procflow/ }, 'and it is locked');
    file.remove();
    t.notOk(existsSync(path));
  }
});

t.test('a process that stands in it is named only if it has the lock', { skip }, async (t) => {
  const path = join(temporaryDirectory(t), 'pid');
  const contents = [`${process.pid}\n`, '4194303\n', '0\n', '-1\n', '../1\n', '\u001b[31m\n', ''];
  writeFileSync(path, '');
  await lockElsewhere(t, path, 'r+', 'fcntl.lockf(file, fcntl.LOCK_EX)');
  for (const content of contents) {
    writeFileSync(path, content);
    t.throws(() => writePidFile(path), OTHER, JSON.stringify(content));
    t.equal(readFileSync(path, 'utf8'), content, 'it is left alone');
  }
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
