// --user: root sets the metering up, and somebody without rights goes on with it.
import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run, temporaryDirectory } from '../support/control.js';
import { startIn } from '../support/generators.js';
import { listFilters } from '../support/network-namespace.js';
import {
  addInterface,
  asUser,
  createUserStage,
  DAEMON,
  NOBODY,
  open,
  reachableProcflow,
  startUserExport,
  talk,
  threadCapabilities,
} from '../support/ordinary-user.js';
import { PROCFLOW, runProcflow } from '../support/procflow.js';
import type { Program } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement('setpriv');
const PACKETS = 23;
/** CAP_NET_ADMIN, which is number 12. */
const NET_ADMIN = '1000';

function userIds({ pid }: Program): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return [...status.matchAll(/^[UG]id:\t(.*)$/gm)].map(([, ids = '']) => ids).join('\t');
}

for (const { attach, kept } of [
  { attach: 'tcx', kept: [] },
  { attach: 'clsact', kept: [NET_ADMIN] },
] as const) {
  t.test(`nobody goes on metering what root has attached, ${attach}`, { skip }, async (t) => {
    const stage = createUserStage(t);
    const options = ['-i', 'any', '--attach', attach, '--user', 'nobody'];
    const exporter = await startUserExport(t, stage, { options });
    t.equal(userIds(exporter.program), Array(8).fill('65534').join('\t'), 'in every way');
    const capabilities = threadCapabilities(exporter.program).filter((bits) => bits !== '0');
    t.same(capabilities, kept, 'of all threads together');

    const port = await talk(t, stage.place, PACKETS);
    const late = addInterface(stage.place, 'late');
    await exporter.program.line('err', /interface late appeared and is metered/);
    execFileSync('ip', ['-n', stage.place.namespace.name, 'link', 'del', 'late-peer']);
    await exporter.program.line('err', /interface late is gone/);
    const loopback = { ...late, interfaceName: 'lo' };
    if (attach === 'clsact') t.not(listFilters(loopback), '', 'a filter is there');

    const flowsTo = await exporter.stop();
    t.same(flowsTo(port), [`${PACKETS} user-client > user-server`], 'both processes are named');
    t.equal(listFilters(loopback), '', 'nothing is left');
    t.equal(lstatSync(join(stage.directory, 'flows.ipfix')).uid, NOBODY.uid, 'as its own file');
  });
}

t.test('a filter is also that of interfaces that appear later', { skip }, async (t) => {
  const stage = createUserStage(t);
  const options = ['-i', 'any', '--user', 'nobody', 'udp port 53 or udp port 5353'];
  const exporter = await startUserExport(t, stage, { options });
  const port = await talk(t, stage.place, PACKETS);
  addInterface(stage.place, 'late');
  await exporter.program.line('err', /interface late appeared and is metered/);
  const flowsTo = await exporter.stop();
  t.same(flowsTo(port), [], 'another port');
  t.match(exporter.program.err.join('\n'), /: 0 flow records, 0 packets/);
});

t.test('metering at sockets is stopped and started', { skip }, async (t) => {
  const stage = createUserStage(t);
  const control = join(stage.directory, 'control');
  const options = ['--capture', 'sockets', '--user', 'nobody:daemon', '-c', control];
  const exporter = await startUserExport(t, stage, { options });
  t.match(userIds(exporter.program), /^65534\t.*\t1\t1\t1\t1$/, 'with the group that was given');
  const ctl = [...PROCFLOW, 'ctl', '-c', control];
  const [command, ...args] = ctl as [string, ...string[]];
  t.equal((await run(command, ...args, 'stop-gather')).code, 0);
  const unseen = await talk(t, stage.place, PACKETS);
  t.equal((await run(command, ...args, 'start-gather')).code, 0);
  const seen = await talk(t, stage.place, PACKETS);
  const flowsTo = await exporter.stop();
  t.same(flowsTo(unseen), [], 'while it stands still');
  t.same(flowsTo(seen), [`${PACKETS} user-client > user-server`]);
});

t.test('root and the user may ask at the control socket, and nobody else', { skip }, async (t) => {
  const stage = createUserStage(t);
  open(stage.directory);
  const control = join(stage.directory, 'control');
  const options = ['-i', 'lo', '--user', 'nobody', '-c', control];
  const exporter = await startUserExport(t, stage, { options });
  const { uid, gid, mode } = lstatSync(control);
  t.same({ uid, gid, mode: mode & 0o777 }, { uid: NOBODY.uid, gid: NOBODY.gid, mode: 0o600 });

  const ask = (...before: string[]): ReturnType<typeof run> => {
    const procflow = before.length === 0 ? PROCFLOW : reachableProcflow(t, NOBODY);
    const [command, ...args] = [...before, ...procflow, 'ctl', '-c', control, 'statistics'];
    return run(command, ...args);
  };
  t.match((await ask()).out, 'Number of active flows', 'root');
  t.match((await ask(...asUser(NOBODY))).out, 'Number of active flows', 'the user');
  const refused = await ask(...asUser(DAEMON));
  t.match(refused.err, /control socket .*: EACCES/, 'the file keeps others out');
  // A mistake of an administrator's.
  chmodSync(control, 0o666);
  const asked = await ask(...asUser(DAEMON));
  t.match(asked.out + asked.err, 'only root and user id 65534, which runs procflow, may ask');
  t.notMatch(asked.out, 'Number of active flows');
  await exporter.program.line('err', /control socket: user id 1 was refused/);
  await exporter.stop();
});

t.test('what root made in a directory of its own stays without a meaning', { skip }, async (t) => {
  const stage = createUserStage(t);
  const place = temporaryDirectory(t);
  open(place);
  const [control, pidFile] = [join(place, 'control'), join(place, 'pid')];
  const options = ['-i', 'lo', '--user', 'nobody', '-c', control, '-p', pidFile];
  const exporter = await startUserExport(t, stage, { options });
  t.equal(readFileSync(pidFile, 'utf8'), `${exporter.program.pid}\n`);
  await exporter.stop();
  t.equal(readFileSync(pidFile, 'utf8'), '', 'a pid file that names no process');

  const again = await startUserExport(t, stage, { options });
  t.equal(readFileSync(pidFile, 'utf8'), `${again.program.pid}\n`, 'is taken by the next start');
  await again.stop();
});

t.test('files are opened as the user from the beginning', { skip }, async (t) => {
  const { place } = createUserStage(t);
  const closed = join(temporaryDirectory(t), 'flows.ipfix');
  const to = ['-n', `file://${closed}?version=10`, '--user', 'nobody'];
  const [command, ...args] = [...PROCFLOW, 'export', '-i', 'lo', ...to] as [string, ...string[]];
  const program = startIn(t, { namespace: place.namespace }, command, ...args);
  t.equal((await program.ended).code, 1);
  t.match(program.err.join('\n'), /write files in .*: EACCES/);
});

t.test('a user that it cannot become is refused before anything is done', { skip }, async (t) => {
  const cases = [
    { options: ['-u', 'no-such-user'], says: /there is no user no-such-user/ },
    { options: ['-u', 'nobody:no-such-group'], says: /there is no group no-such-group/ },
    { options: ['-u', 'nobody:'], says: /is not a user/ },
    { options: ['-u', '0'], says: /is root/ },
    { options: ['-u', '4294967295'], says: /there are no such numbers/ },
    { options: ['-u', 'nobody', '--netns', 'x'], says: /takes CAP_SYS_ADMIN/ },
    { options: ['-u', 'nobody', '--state', '/sys/fs/bpf/x'], says: /belongs to who has made it/ },
    { options: ['-u', 'nobody', '-r', 'x.pcap'], says: /-r reads a file/ },
  ];
  for (const { options, says } of cases) {
    const interfaces = options.includes('-r') ? [] : ['-i', 'lo'];
    const { end, err } = await runProcflow(t, ['live', ...interfaces, ...options]);
    t.equal(end.code, 2, options.join(' '));
    t.match(err, says);
  }
  const procflow = reachableProcflow(t, NOBODY);
  const live = [...asUser(NOBODY), ...procflow, 'live', '-i', 'lo', '-u', 'daemon'];
  const [command = '', ...args] = live;
  const asked = await run(command, ...args);
  t.match(asked.err, /only root can become another user/);
});
