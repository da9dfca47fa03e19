import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CgroupPaths } from '../../src/process/cgroup-paths.js';
import { TimeShare } from '../../src/process/time-share.js';

const inode = (path: string): bigint => statSync(path, { bigint: true }).ino;

t.test('a cgroup is found by the inode of its directory', async (t) => {
  const mount = t.testdir({ 'a.slice': { 'b.service': { 'cgroup.procs': '' } } });
  const paths = new CgroupPaths({ mount, time: new TimeShare({ share: 1, maxCreditMs: 1000 }) });
  t.equal(paths.path(inode(mount)), '/');
  const service = inode(join(mount, 'a.slice/b.service'));
  t.equal(paths.path(service), '/a.slice/b.service');
  mkdirSync(join(mount, 'new'));
  t.equal(paths.path(inode(join(mount, 'new'))), '/new', 'also when it is new');
  rmSync(join(mount, 'a.slice'), { recursive: true });
  t.equal(paths.path(service), '/a.slice/b.service', 'also when it is gone');
});

t.test('what a walk has not met is gone, and not looked for again', async (t) => {
  let now = 0;
  const time = new TimeShare({ share: 0.1, maxCreditMs: 1, nowMs: () => (now += 10) });
  const paths = new CgroupPaths({ mount: t.testdir({}), time });
  t.equal(paths.path(2n ** 60n), '');
  t.equal(paths.path(2n ** 60n + 1n), undefined, 'not looked for: there is no time left');
  t.equal(paths.path(2n ** 60n), '', 'known to be gone');
  now += 1000;
  t.equal(paths.path(2n ** 60n + 1n), '');
});

t.test('without a mount nothing is found', async (t) => {
  const time = new TimeShare({ share: 1, maxCreditMs: 1000 });
  t.equal(new CgroupPaths({ mount: undefined, time }).path(1n), '');
  t.equal(new CgroupPaths({ mount: '/does/not/exist', time }).path(1n), '');
});

t.test('cgroups that come and go are not remembered for ever', async (t) => {
  const mount = t.testdir({ gone: {} });
  const paths = new CgroupPaths({ mount, time: new TimeShare({ share: 1, maxCreditMs: 60_000 }) });
  const gone = inode(join(mount, 'gone'));
  t.equal(paths.path(gone), '/gone');
  rmSync(join(mount, 'gone'), { recursive: true });
  for (let i = 0; i < 1000; i++) paths.path(2n ** 60n + BigInt(i));
  t.equal(paths.path(gone), '/gone');
  for (let i = 0; i < 16_384; i++) paths.path(2n ** 61n + BigInt(i));
  t.equal(paths.path(gone), '', 'forgotten with the others');
});
