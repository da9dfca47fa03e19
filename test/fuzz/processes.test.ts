// Hostile contents of /proc, of /etc/passwd and of the kernel's events: what is not understood is not known.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findCgroup2Mount } from '../../src/bpf-loader/socket-hooks.js';
import { PROCESS_EVENT_KIND } from '../../src/flow/flow-contract.gen.js';
import { readCgroupPath } from '../../src/process/cgroup-path.js';
import { KnownProcesses } from '../../src/process/known-processes.js';
import { readCgroupLines, readProcFiles } from '../../src/process/proc-files.js';
import { decodeProcessEvents } from '../../src/process/process-event.js';
import { parsePasswd } from '../../src/process/user-names.js';
import { cpuTimeMs } from '../support/cpu-time.js';
import { temporaryDirectory } from '../support/control.js';
import { eventBytes, recordOf, type EventSettings } from '../support/process-event-bytes.js';
import { fuzz } from './fuzz-rounds.js';
import { hostileOctets, hostileText } from './hostile-texts.js';
import { mutated, type MutateOptions } from './mutate.js';
import type { Random } from './random.js';

const CASES = 50;
const MAX_PROCESSES = 64;
const PID = 7;
const PATIENCE_MS = 1000;
const START_NS = 1_000_000_000;
const ID = 'a'.repeat(64);

const lines = (...all: readonly string[]): Buffer => Buffer.from(`${all.join('\n')}\n`);
const fields = Array.from({ length: 17 }, (_, i) => i).join(' ');

const STATS = [lines(`7 (cat) S 1 ${fields} 100 0`), lines(`7 (a) S 1 (b) S ${fields} 100 1 1`)];
const CGROUPS = [
  lines('0::/system.slice/ssh.service'),
  lines('12:pids:/docker/' + ID, '1:name=systemd:/user.slice/user@1000.service/a.scope', '0::/'),
  lines(
    `0::/kubepods.slice/kubepods-pod01234567_0123_0123_0123_0123456789ab.slice/crio-${ID}.scope`,
  ),
  lines('0::/machine.slice/machine-a\\x2db.scope/payload', '0::/lxc.payload.x/init.scope'),
];
const PASSWDS = [lines('root:x:0:0:root:/root:/bin/sh', '+::::::', 'a:x:1000:1000::/home/a:')];
const MOUNTS = [
  lines('29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate'),
  lines('30 23 0:27 / /a\\040b rw - cgroup2 none rw', '31 23 0:28 / /c rw - tmpfs tmpfs rw'),
];

function changed(random: Random, others: readonly Buffer[]): Buffer {
  if (random.oneIn(6)) return hostileOctets(random, 2000);
  const changes: MutateOptions = { others, head: 400, least: 0, most: 6000 };
  return mutated(random, changes);
}

/** As long as it took, and what it gave. */
function soon<Result>(what: string, input: Buffer, read: () => Result): Result {
  const begin = cpuTimeMs();
  let result: Result;
  try {
    result = read();
  } catch (cause) {
    throw new Error(`${what}: ${input.toString('latin1')}`, { cause });
  }
  const elapsedMs = cpuTimeMs() - begin;
  if (elapsedMs > PATIENCE_MS) throw new Error(`${elapsedMs} ms for ${what} of ${input.length}`);
  return result;
}

function readProc(random: Random, root: string): void {
  const directory = join(root, String(PID));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const stat = random.oneIn(2) ? random.pick(STATS) : changed(random, STATS);
  const cgroup = changed(random, CGROUPS);
  const commandLine = hostileOctets(random, 4000);
  writeFileSync(join(directory, 'stat'), stat);
  writeFileSync(join(directory, 'cgroup'), cgroup);
  if (!random.oneIn(8)) writeFileSync(join(directory, 'cmdline'), commandLine);
  const target = hostileText(random).replaceAll('\0', '');
  if (target !== '' && Buffer.byteLength(target) < 4000)
    symlinkSync(target, join(directory, 'exe'));
  const files = soon('a process', commandLine, () => readProcFiles(PID, START_NS, root));
  if (
    files !== undefined &&
    (files.commandLine.length > 1024 || files.commandLine.includes('\0'))
  ) {
    throw new Error(`a command line of ${files.commandLine.length} characters`);
  }
  for (const line of soon('cgroups', cgroup, () => readCgroupLines(PID, START_NS, root))) {
    const path = line.split(':').slice(2).join(':');
    const { podUid, containerId } = soon('a cgroup', cgroup, () => readCgroupPath(path));
    if (podUid !== '' && !/^[0-9a-f-]{32,36}$/.test(podUid)) throw new Error(`pod ${podUid}`);
    if (containerId.length > line.length) throw new Error(`container ${containerId}`);
  }
}

function readFiles(random: Random): void {
  const passwd = changed(random, PASSWDS);
  for (const [uid, name] of soon('passwd', passwd, () => parsePasswd(passwd.toString('utf8')))) {
    const isUid = Number.isInteger(uid) && uid >= 0 && uid <= 0xffffffff;
    if (!isUid || name === '' || /[:\n]/.test(name)) throw new Error(`${uid} is ${name}`);
  }
  const mounts = changed(random, MOUNTS);
  soon('mountinfo', mounts, () => findCgroup2Mount(mounts.toString('utf8')));
}

function eventOf(random: Random): EventSettings {
  return {
    kind: random.pick(Object.values(PROCESS_EVENT_KIND)),
    pid: random.below(2 * MAX_PROCESSES),
    execId: random.below(3),
    parentPid: random.below(2 * MAX_PROCESSES),
    parentName: hostileText(random, 2),
    isScript: random.oneIn(2),
    ...(random.oneIn(2) && {
      executable: `/${hostileText(random)}`,
      arguments: [hostileText(random)],
    }),
  };
}

class EventFuzz {
  #pending: Buffer[] = [];
  #listed: Buffer = Buffer.alloc(0);
  #nowMs = 0;
  readonly #directory: KnownProcesses;

  constructor(procRoot: string) {
    this.#directory = new KnownProcesses({
      ...{ clock: { bootNs: () => BigInt(this.#nowMs) * 1_000_000n }, nowMs: () => this.#nowMs },
      ...{ cgroupMount: undefined, retainMs: 1000, procRoot, maxProcesses: MAX_PROCESSES },
    });
    this.#directory.follow({
      take: () => this.#pending.shift() ?? Buffer.alloc(0),
      list: () => this.#listed,
    });
  }

  run(random: Random): void {
    const directory = this.#directory;
    const events = Array.from({ length: random.between(1, 5) }, () => eventBytes(eventOf(random)));
    const whole = Buffer.concat(events);
    const bytes = random.oneIn(2)
      ? whole
      : mutated(random, { others: events, head: 64, least: 0, most: 2000 });
    this.#nowMs += random.below(100);
    soon('events', bytes, () => decodeProcessEvents(bytes));
    if (random.oneIn(8)) this.#listed = bytes;
    this.#pending.push(bytes);
    soon('taking events', bytes, () => {
      directory.drain();
    });
    const record = recordOf({ pid: random.below(2 * MAX_PROCESSES), execId: random.below(3) });
    soon('an identity', bytes, () => directory.identity(record, 'source'));
    const { known } = directory.statistics();
    if (known > MAX_PROCESSES) throw new Error(`${known} processes are known`);
  }
}

t.test('whatever /proc and the kernel tell, it is read in bounded time and memory', async (t) => {
  const root = temporaryDirectory(t);
  const events = new EventFuzz(root);
  await fuzz(t, 'processes', {
    share: 0.05,
    cases: 'processes',
    round: (random) => {
      for (let i = 0; i < CASES; i++) {
        readProc(random, root);
        readFiles(random);
        for (let j = 0; j < 4; j++) events.run(random);
      }
      return CASES;
    },
  });
});
