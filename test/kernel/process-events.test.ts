// The programs that tell of processes, in the real kernel: what they say of an exec, a fork and an end,
// and what becomes of events that find no place.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { openFlowCache } from '../../src/bpf-loader/flow-cache.js';
import { openKernelClock } from '../../src/bpf-loader/kernel-clock.js';
import { openProcessEvents } from '../../src/bpf-loader/process-events.js';
import type { ProcessEventSource } from '../../src/flow/process-event-source.js';
import { KnownProcesses } from '../../src/process/known-processes.js';
import { decodeProcessEvents, type ProcessEvent } from '../../src/process/process-event.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';
import { recordOf } from '../support/process-event-bytes.js';
import type { Teardown } from '../support/program.js';
import { NEVER } from '../support/timeouts.js';

const skip = cannotLoadPrograms();
/** The smallest that the kernel makes: one page. */
const TINY_RING_OCTETS = 4096;

interface Kernel {
  readonly source: ProcessEventSource;
  /** Everything that has happened since the last call. */
  readonly events: () => ProcessEvent[];
  readonly lost: () => number;
}

function openKernel(t: Teardown, ringOctets?: number): Kernel {
  const object = BpfObject.load({
    maxEntries: {
      ...{ flows_v4: 16, flows_v6: 16 },
      ...(ringOctets !== undefined && { process_events: ringOctets }),
    },
  });
  const cache = openFlowCache(object, { timeouts: NEVER });
  const source = openProcessEvents(object);
  t.teardown(() => {
    source.close();
    cache.close();
    object.close();
  });
  return {
    source,
    events: () => {
      const events: ProcessEvent[] = [];
      for (let bytes = source.take(); bytes.length > 0; bytes = source.take()) {
        events.push(...decodeProcessEvents(bytes));
      }
      return events;
    },
    lost: () => cache.counters().PROCESS_EVENTS_LOST,
  };
}

/** A program that waits for the end of its input. */
function startWaiting(t: Teardown): ChildProcess {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  t.teardown(() => void child.kill('SIGKILL'));
  return child;
}

t.test('a process is told of from its fork to its end', { skip }, async (t) => {
  const kernel = openKernel(t);
  const { pid } = spawnSync('/bin/echo', ['one', '', 'three words here']);
  const events = kernel.events().filter((event) => event.pid === pid);
  t.same(
    events.map(({ kind }) => kind),
    ['forked', 'executed', 'exited'],
  );
  const [forked, executed, exited] = events;
  t.match(forked, { parentPid: process.pid, parentName: 'node', executable: '' });
  t.match(executed, {
    ...{ executable: '/bin/echo', commandLine: '/bin/echo one  three words here' },
    ...{ parentPid: process.pid, execId: (forked?.execId ?? 0) + 1 },
  });
  t.equal(executed?.startNs, forked?.startNs);
  t.equal(exited?.execId, executed?.execId);
});

t.test('file names and arguments of any length come as far as they fit', { skip }, async (t) => {
  const kernel = openKernel(t);
  const directory = t.testdir({ ['d'.repeat(200)]: {} });
  const deep = join(directory, 'd'.repeat(200), 'e'.repeat(100));
  copyFileSync('/bin/true', deep);
  for (const { path, words } of [
    { path: '/bin/true', words: [] },
    { path: '/bin/true', words: ['x'.repeat(1014)] }, // 1024 octets with '/bin/true' and NULs
    { path: '/bin/true', words: ['x'.repeat(5000), 'y'] },
    { path: '/bin/true', words: Array.from({ length: 3000 }, (_, i) => `w${i}`) },
    { path: deep, words: ['x'] },
  ]) {
    const { pid } = spawnSync(path, words);
    const executed = kernel.events().find((e) => e.pid === pid && e.kind === 'executed');
    const commandLine = [path, ...words].join(' ');
    t.equal(executed?.executable, path.slice(0, 255));
    t.equal(executed?.commandLine, commandLine.slice(0, 1024).trimEnd());
  }
});

t.test('of a script the interpreter is told', { skip }, async (t) => {
  const kernel = openKernel(t);
  const script = join(t.testdir({}), 'script');
  writeFileSync(script, '#!/bin/sh -e\ntrue\n');
  chmodSync(script, 0o755);
  const { pid } = spawnSync(script, ['argument']);
  t.match(
    kernel.events().find((event) => event.pid === pid && event.kind === 'executed'),
    { executable: '/bin/sh', commandLine: `/bin/sh -e ${script} argument` },
  );
});

t.test('threads are no processes', { skip }, async (t) => {
  const kernel = openKernel(t);
  // libuv starts its threads when there is work for them.
  const script = "require('fs').stat('/', () => require('crypto').randomBytes(9, () => {}))";
  const { pid, status } = spawnSync(process.execPath, ['-e', script], { env: {} });
  t.equal(status, 0);
  const events = kernel.events();
  t.same(
    events.filter((event) => event.pid === pid).map(({ kind }) => kind),
    ['forked', 'executed', 'exited'],
  );
  t.same(
    events.filter((event) => event.parentPid === pid),
    [],
  );
});

t.test('the list has every process, with what events say of it too', { skip }, async (t) => {
  const kernel = openKernel(t);
  const child = startWaiting(t);
  const executed = kernel.events().find((e) => e.pid === child.pid && e.kind === 'executed');
  const listed = decodeProcessEvents(kernel.source.list());
  const { pid, startNs, execId, cgroupId, parentPid } = executed ?? {};
  t.match(
    listed.find((event) => event.pid === child.pid),
    { kind: 'found', pid, startNs, execId, cgroupId, parentPid },
  );
  t.ok(listed.some((event) => event.pid === process.pid));
  t.ok(listed.some((event) => event.pid === process.ppid));
  t.notOk(
    listed.some((event) => event.parentPid === 2),
    'no kernel threads',
  );
});

t.test('events that find no place are counted, and healed from /proc', { skip }, async (t) => {
  const kernel = openKernel(t, TINY_RING_OCTETS);
  const directory = new KnownProcesses({
    ...{ clock: openKernelClock(), cgroupMount: undefined, retainMs: 60_000 },
  });
  directory.follow(kernel.source);
  for (let i = 0; i < 50; i++) spawnSync('/bin/true');
  const living = startWaiting(t);
  const lost = kernel.lost();
  t.ok(lost > 0, `${lost} events were lost`);
  // The truth, beside the directory: which process it is.
  const key = decodeProcessEvents(kernel.source.list()).find(({ pid }) => pid === living.pid);
  t.ok(key);
  const { pid = 0, startNs = 0, execId = 0 } = key ?? {};
  const record = recordOf({ pid, startNs: BigInt(startNs), execId });
  t.match(directory.identity(record, 'source'), {
    ...{ executable: realpathSync('/bin/cat'), commandLine: 'cat', parentPid: process.pid },
  });
  t.match(directory.statistics(), { healed: 1, notFound: 0 });

  const earlier = recordOf({ pid, startNs: BigInt(startNs) - 1_000_000_000n, execId });
  t.equal(directory.identity(earlier, 'source'), undefined, 'who had this pid before is another');
  t.match(directory.statistics(), { healed: 1, notFound: 1 });
});
