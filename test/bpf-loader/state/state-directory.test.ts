// Whose a state directory is, and why one cannot be had.
import { mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openStateDirectory } from '../../../src/bpf-loader/state/state-directory.js';
import { bpfDirectory, missingBpfFileSystem } from '../../support/bpf-directory.js';

const skip = missingBpfFileSystem();

t.test('it is made, for its owner alone', { skip }, async (t) => {
  const path = join(bpfDirectory(t), 'host');
  const state = openStateDirectory(path);
  t.teardown(state.close);
  t.equal(state.path, path);
  t.equal(statSync(path).mode & 0o777, 0o700);
});

t.test('two cannot have it at a time', { skip }, async (t) => {
  const path = bpfDirectory(t);
  const first = openStateDirectory(path);
  t.throws(() => openStateDirectory(path), {
    code: 'EBUSY',
    message: new RegExp(`^lock state directory ${path}: EBUSY \\(another procflow uses it; stop`),
  });
  first.close();
  openStateDirectory(path).close();
});

t.test('a directory elsewhere is refused with advice, and not made', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-'));
  t.teardown(() => {
    rmdirSync(directory);
  });
  t.throws(() => openStateDirectory(join(directory, 'a', 'b')), {
    code: 'ENOTSUP',
    message: /not on a BPF file system: give a directory below \/sys\/fs\/bpf/,
  });
});

t.test('who may not is told so', { skip }, async (t) => {
  const path = bpfDirectory(t);
  const module = new URL('../../../src/bpf-loader/state/state-directory.js', import.meta.url);
  const script = `
    process.setuid(65534);
    const { openStateDirectory } = await import(${JSON.stringify(module.href)});
    try { openStateDirectory(${JSON.stringify(path)}); } catch (error) { console.log(error.message); }`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  t.match(stdout, /^open state directory .*: (EACCES|EPERM) \(this user may not: run as root/);
});
