import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { PROCESS_EVENT_KIND } from '../../src/flow/flow-contract.gen.js';
import { KnownProcesses, type KnownProcessesOptions } from '../../src/process/known-processes.js';
import { eventBytes, recordOf, type EventSettings } from '../support/process-event-bytes.js';

const { PROCESS_EXECUTED, PROCESS_EXITED, PROCESS_FORKED, PROCESS_FOUND } = PROCESS_EVENT_KIND;
const NOW_NS = 50_000_000_000n;
const NOBODY = { cgroupPath: '', unit: '', containerId: '', containerRuntime: '', podUid: '' };

/** A kernel that tells what the test says, and counts how often it was asked for the list. */
class FakeSource {
  readonly pending: Buffer[] = [];
  listed: readonly EventSettings[] = [];
  lists = 0;
  failure: Error | undefined;
  tell(...events: readonly EventSettings[]): void {
    this.pending.push(Buffer.concat(events.map(eventBytes)));
  }
  take(): Buffer {
    if (this.failure !== undefined) throw this.failure;
    return this.pending.shift() ?? Buffer.alloc(0);
  }
  list(): Buffer {
    this.lists++;
    return Buffer.concat(this.listed.map(eventBytes));
  }
}

type Tap = Pick<typeof t, 'testdir'>;

interface Stage {
  readonly source: FakeSource;
  readonly directory: KnownProcesses;
  readonly procRoot: string;
  readonly clock: { nowNs: bigint; nowMs: number };
}

function stageOf(t: Tap, options: Partial<KnownProcessesOptions> = {}): Stage {
  const source = new FakeSource();
  const procRoot = t.testdir({ self: { cgroup: '0::/\n' } });
  const clock = { nowNs: NOW_NS, nowMs: 0 };
  const directory = new KnownProcesses({
    ...{ clock: { bootNs: () => clock.nowNs }, nowMs: () => clock.nowMs },
    ...{ cgroupMount: undefined, retainMs: 1000, procRoot },
    ...options,
  });
  return { source, directory, procRoot, clock };
}

/** Puts a process into /proc that began one second after the start, as events do by default. */
function addToProc(root: string, pid: number, executable: string, words: readonly string[]): void {
  const directory = join(root, String(pid));
  mkdirSync(directory);
  const between = Array.from({ length: 17 }, () => 0).join(' ');
  writeFileSync(join(directory, 'stat'), `${pid} (x) S 1 ${between} 100 0\n`);
  writeFileSync(join(directory, 'cmdline'), words.map((word) => `${word}\0`).join(''));
  symlinkSync(executable, join(directory, 'exe'));
}

t.test('a process that was executed and is gone is known', async (t) => {
  const { source, directory } = stageOf(t);
  directory.follow(source);
  source.tell(
    { kind: PROCESS_FORKED, parentPid: 50, parentName: 'sh' },
    {
      ...{ kind: PROCESS_EXECUTED, execId: 2, parentPid: 50, parentName: 'bash' },
      ...{ executable: '/bin/date', arguments: ['date', '-u'] },
    },
    { kind: PROCESS_EXITED, execId: 2 },
  );
  const record = recordOf({ execId: 2 });
  const identity = directory.identity(record, 'source');
  t.same(identity, {
    ...{ executable: '/bin/date', commandLine: 'date -u' },
    ...{ parentPid: 50, parentName: 'bash', ...NOBODY },
  });
  t.equal(directory.identity(record, 'source'), identity, 'the same object each time');
  t.equal(directory.identity(record, 'destination'), undefined, 'nobody is there');
  t.equal(source.lists, 1, 'nothing had to be looked up');
});

t.test('a child runs the program of its parent until it executes another', async (t) => {
  const { source, directory } = stageOf(t);
  directory.follow(source);
  const server = { executable: '/sbin/server', arguments: ['server'] };
  source.tell(
    { kind: PROCESS_EXECUTED, pid: 10, ...server },
    { ...{ kind: PROCESS_FORKED, pid: 11, parentPid: 10 }, parentStartNs: 1_000_000_000n },
    { kind: PROCESS_EXECUTED, pid: 11, execId: 2, executable: '/bin/cgi', arguments: ['cgi'] },
  );
  t.match(directory.identity(recordOf({ pid: 11 }), 'source'), {
    ...{ executable: '/sbin/server', commandLine: 'server', parentPid: 10 },
  });
  t.match(directory.identity(recordOf({ pid: 11, execId: 2 }), 'source'), {
    executable: '/bin/cgi',
    parentPid: 10, // and not the one that the exec event names: it took the process in
  });
});

t.test('the same pid is another process', async (t) => {
  const { source, directory } = stageOf(t);
  directory.follow(source);
  const startNs = 2_000_000_000n;
  source.tell(
    { kind: PROCESS_EXECUTED, executable: '/bin/old', arguments: ['old'] },
    { kind: PROCESS_EXITED },
    { kind: PROCESS_EXECUTED, startNs, executable: '/bin/new', arguments: ['new'] },
  );
  const executable = (start: bigint): string | undefined =>
    directory.identity(recordOf({ startNs: start }), 'source')?.executable;
  t.equal(executable(1_000_000_000n), '/bin/old');
  t.equal(executable(startNs), '/bin/new');
  t.equal(executable(3_000_000_000n), undefined);
});

t.test('a process that lived before is read from /proc', async (t) => {
  const { source, directory, procRoot } = stageOf(t);
  source.listed = [{ kind: PROCESS_FOUND, parentPid: 1 }];
  addToProc(procRoot, 100, '/usr/bin/daemon', ['daemon', '-D']);
  directory.follow(source);
  t.match(directory.identity(recordOf({}), 'source'), {
    ...{ executable: '/usr/bin/daemon', commandLine: 'daemon -D', parentName: 'systemd' },
  });
  t.equal(directory.statistics().healed, 0);
});

t.test('in a time namespace /proc counts starts from another zero', async (t) => {
  const { source, procRoot, clock } = stageOf(t);
  const self = join(procRoot, 'self');
  mkdirSync(join(self, 'ns'));
  for (const name of ['time', 'time_for_children']) symlinkSync('time:[7]', join(self, 'ns', name));
  writeFileSync(join(self, 'timens_offsets'), 'boottime        -1         0\n');
  const directory = new KnownProcesses({
    clock: { bootNs: () => clock.nowNs },
    ...{ cgroupMount: undefined, retainMs: 1000, procRoot },
  });
  const startNs = 2_000_000_000n; // the kernel's; /proc says one second
  source.listed = [{ kind: PROCESS_FOUND, startNs }];
  addToProc(procRoot, 100, '/usr/bin/daemon', ['daemon', '-D']);
  directory.follow(source);
  t.match(directory.identity(recordOf({ startNs }), 'source'), { commandLine: 'daemon -D' });
});

t.test('a lost event is healed by a look at /proc', async (t) => {
  const { source, directory, procRoot, clock } = stageOf(t);
  directory.follow(source);
  const startNs = NOW_NS + 1_000_000_000n;
  clock.nowNs += 2_000_000_000n;
  source.listed = [
    { kind: PROCESS_FOUND, startNs },
    { kind: PROCESS_FOUND, pid: 101 },
  ];
  addToProc(procRoot, 100, '/usr/bin/late', ['late']);
  writeFileSync(
    join(procRoot, '100/stat'),
    `100 (x) S 1 ${'0 '.repeat(17)}${startNs / 10_000_000n} 0\n`,
  );
  const record = recordOf({ startNs });
  t.match(directory.identity(record, 'source'), { executable: '/usr/bin/late' });
  t.match(directory.statistics(), { healed: 1, notFound: 0, known: 2 });
  directory.identity(record, 'source');
  t.match(directory.statistics(), { healed: 1 }, 'once');
  t.equal(source.lists, 2);
});

t.test('what is gone is looked for once', async (t) => {
  const { source, directory, clock } = stageOf(t);
  directory.follow(source);
  clock.nowNs += 2_000_000_000n;
  const record = recordOf({ startNs: NOW_NS + 1n });
  for (let i = 0; i < 5; i++) t.equal(directory.identity(record, 'source'), undefined);
  t.equal(source.lists, 2);
  const before = recordOf({ pid: 5, startNs: NOW_NS - 1n });
  for (let i = 0; i < 5; i++) t.equal(directory.identity(before, 'source'), undefined);
  t.equal(source.lists, 2, 'an older one would have been in the list');
  t.match(directory.statistics(), { notFound: 2, healed: 0 });
});

t.test('a program whose successor is known is gone, and its successor is not', async (t) => {
  const { source, directory } = stageOf(t);
  directory.follow(source);
  const news = { executable: '/bin/new', arguments: ['new'] };
  source.tell({ kind: PROCESS_EXECUTED, execId: 5, ...news });
  t.equal(directory.identity(recordOf({ execId: 4 }), 'source'), undefined);
  t.equal(source.lists, 1);
  source.tell({
    kind: PROCESS_FORKED,
    pid: 7,
    execId: 5,
    parentPid: 100,
    parentStartNs: 1_000_000_000n,
  });
  t.match(directory.identity(recordOf({ pid: 7, execId: 5 }), 'source'), { commandLine: 'new' });
});

t.test('an event that comes late is worth more than that nothing was found', async (t) => {
  const { source, directory } = stageOf(t);
  directory.follow(source);
  t.equal(directory.identity(recordOf({}), 'source'), undefined);
  source.tell({ kind: PROCESS_EXECUTED, executable: '/bin/x', arguments: ['x'] });
  directory.drain();
  t.match(directory.identity(recordOf({}), 'source'), { executable: '/bin/x' });
});

t.test('a storm of unknown processes is answered later', async (t) => {
  const { source, directory, clock } = stageOf(t);
  directory.follow(source);
  const list = source.list.bind(source);
  source.list = () => {
    clock.nowMs += 100; // a host with very many processes
    return list();
  };
  const unknown = (pid: number) =>
    directory.identity(recordOf({ pid, startNs: NOW_NS + 1n }), 'source');
  unknown(1);
  const listsBefore = source.lists;
  for (let pid = 2; pid < 100; pid++) t.equal(unknown(pid), undefined);
  t.ok(source.lists - listsBefore <= 1, 'the time for looking is used up');
  t.ok(directory.statistics().postponed >= 98);
  clock.nowMs += 60_000;
  clock.nowNs += 60_000_000_000n;
  unknown(2);
  t.equal(directory.statistics().notFound, 1, 'there is time again');
});

t.test('a file name that says little is completed while the process lives', async (t) => {
  const { source, directory, procRoot } = stageOf(t);
  directory.follow(source);
  for (const [pid, executable] of [
    [20, './tool'],
    [21, '/dev/fd/7'],
    [22, `/${'x'.repeat(254)}`],
  ] as const) {
    addToProc(procRoot, pid, `/opt/tool-${pid}`, ['other']);
    source.tell({ kind: PROCESS_EXECUTED, pid, executable, arguments: ['tool', 'a'] });
    t.match(directory.identity(recordOf({ pid }), 'source'), {
      ...{ executable: `/opt/tool-${pid}`, commandLine: 'tool a' },
    });
  }
  source.tell({ kind: PROCESS_EXECUTED, pid: 23, executable: './gone', arguments: ['gone'] });
  t.match(directory.identity(recordOf({ pid: 23 }), 'source'), { executable: './gone' });
});

t.test('a name is not completed from the program that came after', async (t) => {
  const { source, directory, procRoot } = stageOf(t);
  directory.follow(source);
  addToProc(procRoot, 100, '/bin/after', ['after']);
  source.tell(
    { kind: PROCESS_EXECUTED, executable: './before', arguments: ['before'] },
    { kind: PROCESS_EXECUTED, execId: 2, executable: '/bin/after', arguments: ['after'] },
  );
  t.match(directory.identity(recordOf({}), 'source'), { executable: './before' });
  // The exec falls into the reading: its event is there when the reading is done.
  source.tell({ kind: PROCESS_EXECUTED, pid: 30, executable: './before', arguments: ['before'] });
  addToProc(procRoot, 30, '/bin/after', ['after']);
  const take = source.take.bind(source);
  let takes = 0;
  source.take = () => {
    takes++;
    if (takes === 3) {
      source.tell({ kind: PROCESS_EXECUTED, pid: 30, execId: 2, executable: '/bin/after' });
    }
    return take();
  };
  t.match(directory.identity(recordOf({ pid: 30 }), 'source'), { executable: './before' });
  t.match(directory.identity(recordOf({ pid: 30, execId: 2 }), 'source'), {
    executable: '/bin/after',
  });
});

t.test('where cgroup v1 is in use a container is found in its lines', async (t) => {
  const id = 'a'.repeat(64);
  const { source, procRoot } = stageOf(t);
  writeFileSync(join(procRoot, 'self/cgroup'), '4:memory:/\n0::/\n');
  const directory = new KnownProcesses({
    ...{ clock: { bootNs: () => NOW_NS }, cgroupMount: undefined, retainMs: 1000, procRoot },
  });
  directory.follow(source);
  source.tell({ kind: PROCESS_EXECUTED, executable: '/bin/x', arguments: ['x'] });
  addToProc(procRoot, 100, '/bin/x', ['x']);
  const lines = `5:cpu,cpuacct:/docker/${id}\n1:name=systemd:/system.slice/x.service\n0::/\n`;
  writeFileSync(join(procRoot, '100/cgroup'), lines);
  t.match(directory.identity(recordOf({}), 'source'), {
    ...{ containerId: id, containerRuntime: 'docker', unit: 'x.service' },
  });
});

t.test('the cgroup is that of the flow; another one makes another object', async (t) => {
  const mount = t.testdir({ 'a.service': {}, 'b.service': {} });
  const idOf = (name: string): bigint => statSync(join(mount, name), { bigint: true }).ino;
  const source = new FakeSource();
  const directory = new KnownProcesses({
    ...{ clock: { bootNs: () => NOW_NS }, cgroupMount: mount, retainMs: 1000, procRoot: mount },
  });
  directory.follow(source);
  source.tell({ kind: PROCESS_EXECUTED, executable: '/bin/x', arguments: ['x'] });
  for (const unit of ['a.service', 'b.service']) {
    const record = recordOf({ cgroupId: idOf(unit) });
    const identity = directory.identity(record, 'source');
    t.match(identity, { unit, cgroupPath: `/${unit}` });
    t.equal(directory.identity(record, 'source'), identity);
  }
});

t.test('the number of processes is bounded', async (t) => {
  const { source, directory } = stageOf(t, { maxProcesses: 10 });
  directory.follow(source);
  for (let pid = 1; pid <= 100; pid++) {
    source.tell({ kind: PROCESS_EXECUTED, pid, executable: '/bin/x', arguments: [String(pid)] });
  }
  for (let pid = 0; pid < 4; pid++) directory.drain();
  t.match(directory.statistics(), { known: 10, evicted: 90 });
});

t.test('a source that fails is counted, and what is known stays known', async (t) => {
  const { source, directory } = stageOf(t);
  directory.follow(source);
  source.tell({ kind: PROCESS_EXECUTED, executable: '/bin/x', arguments: ['x'] });
  directory.drain();
  source.failure = new Error('read the ring buffer: EIO');
  directory.drain();
  t.match(directory.identity(recordOf({}), 'source'), { executable: '/bin/x' });
  t.equal(directory.statistics().failedReads, 1);
});

t.test('no garbage from the kernel makes it throw', async () => {
  const { source, directory } = stageOf(t);
  directory.follow(source);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.uint8Array({ maxLength: 400 }), (a, b) => {
      source.pending.push(Buffer.from(a));
      directory.drain();
      source.list = () => Buffer.from(b);
      directory.identity(recordOf({ startNs: NOW_NS + 1n }), 'source');
    }),
  );
});

t.test('user names are those of the users of this host', async (t) => {
  const { directory } = stageOf(t);
  t.equal(directory.userName(0), 'root');
  t.same(Buffer.from(directory.userNameBytes(0)), Buffer.from('root'));
});
