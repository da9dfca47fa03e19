// Memory of a file: what is stored there is in the file, whatever becomes of this process.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  allocateFile,
  mapShared,
  unmapShared,
} from '../../../src/bpf-loader/native/shared-memory.js';

const OCTETS = 8192;

function newFile(t: { testdir: (content: Record<string, never>) => string }): {
  readonly path: string;
  readonly fd: number;
} {
  const path = join(t.testdir({}), 'memory');
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, OCTETS);
  return { path, fd };
}

t.test('what is stored is in the file, and the other way round', async (t) => {
  const { path, fd } = newFile(t);
  const bytes = mapShared(fd, OCTETS);
  const others = mapShared(fd, OCTETS);
  closeSync(fd);
  t.equal(bytes.length, OCTETS);
  bytes.write('here', 4096);
  t.equal(others.toString('latin1', 4096, 4100), 'here');
  t.equal(readFileSync(path).toString('latin1', 4096, 4100), 'here');
  unmapShared(bytes);
  bytes.write('gone', 4096);
  t.equal(others.toString('latin1', 4096, 4100), 'here', 'a store after the end changes nothing');
  unmapShared(others);
});

t.test('it stays when the process is killed in the same moment', async (t) => {
  const { path, fd } = newFile(t);
  closeSync(fd);
  const module = new URL('../../../src/bpf-loader/native/shared-memory.js', import.meta.url);
  const script = `
    const { mapShared } = await import(${JSON.stringify(module.href)});
    const { openSync } = await import('node:fs');
    mapShared(openSync(${JSON.stringify(path)}, 'r+'), ${OCTETS}).writeUInt32LE(7, 100);
    process.kill(process.pid, 'SIGKILL');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
  t.equal(signal, 'SIGKILL');
  t.equal(readFileSync(path).readUInt32LE(100), 7);
});

t.test('what cannot be mapped is an error with its reason', async (t) => {
  t.throws(() => mapShared(-1, OCTETS), { code: 'EBADF', operation: 'map 8192 octets of memory' });
});

t.test('a file gets its room at once, or a reason why not', async (t) => {
  const { path, fd } = newFile(t);
  t.equal(allocateFile(fd, 3 * OCTETS), 0);
  const { size, blocks } = statSync(path);
  t.equal(size, 3 * OCTETS);
  t.ok(blocks * 512 >= 3 * OCTETS);
  t.not(allocateFile(fd, 2 ** 60), 0, 'no disk is so big');
  closeSync(fd);
});
