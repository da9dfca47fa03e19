// procflow export in the background: whoever starts it learns how that went, and it goes on by itself.
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runCtl, temporaryDirectory } from '../support/control.js';
import { createNamespacePair } from '../support/network-namespace.js';
import { runProcflow } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';
import type { Teardown } from '../support/program.js';

const skip = missingRequirement();

function prepare(t: Teardown) {
  const pair = createNamespacePair(t);
  const directory = temporaryDirectory(t);
  const control = join(directory, 'control');
  const pidfile = join(directory, 'pid');
  const place = ['--netns', pair.a.name, '--cgroup', createCgroup(t)];
  const collector = ['-n', '127.0.0.1:9', '--daemon'];
  const start = (name: string, ...options: string[]) =>
    runProcflow(t, ['export', '-i', name, ...place, ...collector, ...options]);
  t.teardown(() => {
    // Only where a test has failed.
    if (existsSync(pidfile)) process.kill(Number(readFileSync(pidfile, 'utf8')), 'SIGKILL');
  });
  return { start, control, pidfile, name: pair.a.interfaceName };
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

t.test('it meters when its start returns, and ends by its control socket', { skip }, async (t) => {
  const { start, control, pidfile, name } = prepare(t);
  const { end, err } = await start(name, '-c', control, '-p', pidfile);
  t.same(end, { code: 0, signal: null });
  const pid = Number(readFileSync(pidfile, 'utf8'));
  t.match(err, new RegExp(`^procflow: metering ${name}; .*; process ${pid}$`, 'm'));
  t.ok(isRunning(pid));
  t.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
  for (const fd of [0, 1, 2]) t.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), '/dev/null');
  // Behind the name: state, parent, process group, session.
  const [, behindName = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const [, , , session] = behindName.split(' ');
  t.equal(Number(session), pid, 'a session of its own');

  const second = await start(name, '-p', pidfile);
  t.same(second.end, { code: 2, signal: null });
  t.match(second.err, new RegExp(`is held by procflow, process ${pid} \\(stop it`));

  t.match(await runCtl('-c', control, 'shutdown'), { code: 0 });
  while (isRunning(pid)) await runCtl('-c', control, 'timeouts');
  t.notOk(existsSync(pidfile), 'its files are gone');
  t.notOk(existsSync(control));
});

t.test('an error comes to whoever started it, with its exit code', { skip }, async (t) => {
  const { start, control, pidfile } = prepare(t);
  const missing = await start('missing0', '-c', control, '-p', pidfile);
  t.same(missing.end, { code: 1, signal: null });
  t.match(missing.err, /^procflow: meter interface missing0: ENODEV/m);
  t.notOk(existsSync(pidfile), 'nothing is left');
  t.notOk(existsSync(control));
  const unwritable = await start('lo', '-p', '/proc/pid');
  t.same(unwritable.end, { code: 2, signal: null });
  t.match(unwritable.err, /^procflow: -p \/proc\/pid: the pid file cannot be written/m);
});
