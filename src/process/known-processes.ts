// The directory of processes: follows the kernel's events, and looks into /proc for what they do not
// tell. Stands beside the way of a packet; a sink asks here while it writes a record.
import { readFileSync } from 'node:fs';
import type { KernelClock } from '../flow/clock.js';
import type { FlowRecord, FlowSide } from '../flow/flow-record.js';
import type {
  ProcessDirectory,
  ProcessIdentity,
  ProcessStatistics,
} from '../flow/process-directory.js';
import type { ProcessEventSource } from '../flow/process-event-source.js';
import { readBootOffsetNs } from '../flow/time-namespace.js';
import { readCgroupPath, type CgroupMembership } from './cgroup-path.js';
import { CgroupPaths } from './cgroup-paths.js';
import { readCgroupLines, readProcFiles } from './proc-files.js';
import { decodeProcessEvents, type ProcessEvent, type ProcessKey } from './process-event.js';
import { ProcessTable, type KnownProcess, type Program } from './process-table.js';
import { TimeShare } from './time-share.js';
import { UserNames } from './user-names.js';

export interface KnownProcessesOptions {
  readonly clock: Pick<KernelClock, 'bootNs'>;
  /** Where cgroup v2 is mounted; undefined: paths and containers stay unknown. */
  readonly cgroupMount: string | undefined;
  /** How long a flow can name a process that has ended. */
  readonly retainMs: number;
  readonly maxProcesses?: number;
  readonly procRoot?: string;
  readonly nowMs?: () => number;
}

/** An identity, and what it was made from. */
interface Made {
  readonly identity: ProcessIdentity;
  readonly cgroupId: bigint;
  /** The cgroup's path was not looked up, for want of time. */
  readonly isPartial: boolean;
}

/** About 600 octets each. */
const MAX_PROCESSES = 32_768;
/** Looks into /proc and walks over cgroups may stop everything else for so much of the time. */
const LOOKUP_SHARE = 0.05;
const LOOKUP_BURST_MS = 50;
/** The kernel cuts file names to so many octets. */
const CUT_NAME_OCTETS = 255;
/** More than the ring buffer holds: on a host that forks faster than this reads, the rest waits. */
const MAX_TAKES = 64;
const NO_CONTAINER: CgroupMembership = readCgroupPath('');

export class KnownProcesses implements ProcessDirectory {
  readonly #options: KnownProcessesOptions;
  readonly #nowMs: () => number;
  readonly #users = new UserNames();
  readonly #table: ProcessTable;
  readonly #time: TimeShare;
  readonly #cgroups: CgroupPaths;
  readonly #hasLegacyCgroups: boolean;
  /** /proc counts starts as the own time namespace does. */
  readonly #bootOffsetNs: number;
  readonly #made = new WeakMap<KnownProcess, Made>();
  /** Executed under a name that says little by itself. */
  readonly #vague = new Set<KnownProcess>();
  readonly #counts = { healed: 0, notFound: 0, postponed: 0, failedReads: 0 };
  #source: ProcessEventSource | undefined;
  /** CLOCK_BOOTTIME of the last list: a process that began before and is not known has ended. */
  #listedNs = -1;

  constructor(options: KnownProcessesOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    const { retainMs, maxProcesses = MAX_PROCESSES, cgroupMount, procRoot } = options;
    this.#table = new ProcessTable({ maxProcesses, retainMs });
    this.#time = new TimeShare({
      share: LOOKUP_SHARE,
      maxCreditMs: LOOKUP_BURST_MS,
      nowMs: this.#nowMs,
    });
    this.#cgroups = new CgroupPaths({ mount: cgroupMount, time: this.#time });
    this.#hasLegacyCgroups = hasLegacyCgroups(procRoot);
    this.#bootOffsetNs = Number(readBootOffsetNs(procRoot && `${procRoot}/self`));
  }

  /** From now on. First looks at every process that lives, however long that takes. */
  follow(source: ProcessEventSource): void {
    this.#source = source;
    this.#list(source);
    this.drain();
    for (const process of this.#table.living()) this.#readProgram(process);
  }

  /** Takes in what has happened. Call it often: the kernel's buffer is bounded. */
  drain(): void {
    this.#takeEvents();
    for (const process of this.#vague) this.#time.run(() => this.#readProgram(process));
    this.#vague.clear();
    this.#table.expire(this.#nowMs());
  }

  userName(uid: number): string {
    return this.#users.userName(uid);
  }

  userNameBytes(uid: number): Uint8Array {
    return this.#users.userNameBytes(uid);
  }

  identity(record: FlowRecord, side: FlowSide): ProcessIdentity | undefined {
    const pid = record.pid(side);
    if (pid === 0) return undefined;
    const key = { pid, startNs: record.processStart(side), execId: record.execId(side) };
    const process = this.#table.find(key) ?? this.#lookUp(key);
    if (process?.program === undefined) return undefined;
    if (process.program.state === 'unread' && !process.isAsked) {
      const isRead = this.#time.run(() => this.#readProgram(process));
      if (isRead === undefined) this.#counts.postponed++;
      else if (isRead) this.#counts.healed++;
      else this.#counts.notFound++;
    }
    return this.#identityOf(process, process.program, record.cgroupId(side));
  }

  statistics(): ProcessStatistics {
    return { known: this.#table.size, evicted: this.#table.evicted, ...this.#counts };
  }

  #takeEvents(): void {
    const nowMs = this.#nowMs();
    try {
      for (let takes = 0; takes < MAX_TAKES; takes++) {
        const bytes = this.#source?.take();
        if (bytes === undefined || bytes.length === 0) return;
        for (const event of decodeProcessEvents(bytes)) this.#takeIn(event, nowMs);
      }
    } catch {
      this.#counts.failedReads++;
    }
  }

  #takeIn(event: ProcessEvent, nowMs: number): void {
    const { kind, pid, startNs, execId } = event;
    if (kind === 'exited') {
      this.#table.end(pid, startNs, nowMs);
      return;
    }
    // While the cgroup is there: that of a container may be gone when its flows are exported.
    this.#cgroups.path(event.cgroupId);
    const before = this.#table.current(pid, startNs);
    if (kind === 'found' && before?.execId === execId) return;
    // The one that forked it, also when that has ended and another has taken the process in.
    const { parentPid, parentName } =
      before === undefined || before.parentPid === event.parentPid ? event : before;
    const program = this.#programOf(event);
    const process = { pid, startNs, execId, parentPid, parentName, program, isAsked: false };
    this.#table.add(process);
    this.#table.end(pid, startNs, nowMs, process);
    if (kind === 'executed' && isVague(program)) this.#vague.add(process);
  }

  #programOf({ kind, execId, executable, commandLine, ...event }: ProcessEvent): Program {
    if (kind === 'executed') return { executable, commandLine, state: 'read' };
    const parent = this.#table.current(event.parentPid, event.parentStartNs);
    const isParents = kind === 'forked' && parent?.execId === execId;
    return (isParents ? parent.program : undefined) ?? { executable, commandLine, state: 'unread' };
  }

  /** From /proc, what no event told. False when there is nothing to read any more. */
  #readProgram(process: KnownProcess): boolean {
    const { pid, startNs, program } = process;
    process.isAsked = true;
    if (program === undefined || this.#table.current(pid, startNs) !== process) return false;
    const files = readProcFiles(pid, startNs + this.#bootOffsetNs, this.#options.procRoot);
    this.#takeEvents();
    // It can have executed another program meanwhile: then these are that one's files.
    if (files === undefined || this.#table.current(pid, startNs) !== process) return false;
    program.state = 'read';
    if (files.executable !== '') program.executable = files.executable;
    if (program.commandLine === '') program.commandLine = files.commandLine;
    return true;
  }

  /** Its event may still be in the ring buffer, or was lost. */
  #lookUp(key: ProcessKey): KnownProcess | undefined {
    this.drain();
    const known = this.#table.find(key);
    const source = this.#source;
    if (known !== undefined || source === undefined) return known;
    if (!this.#isGone(key)) {
      this.#time.run(() => {
        this.#list(source);
      });
    }
    const found = this.#table.find(key);
    if (found !== undefined) return found;
    if (!this.#isGone(key)) {
      this.#counts.postponed++;
      return undefined;
    }
    this.#counts.notFound++;
    // So that the next record of the same process is answered at once.
    const absent = { ...key, parentPid: 0, parentName: '', program: undefined, isAsked: true };
    this.#table.add(absent, this.#nowMs());
    return absent;
  }

  /** Another list of processes would not find this one. */
  #isGone({ pid, startNs, execId }: ProcessKey): boolean {
    const current = this.#table.current(pid, startNs);
    return current === undefined ? startNs <= this.#listedNs : current.execId > execId;
  }

  #list(source: ProcessEventSource): void {
    try {
      const listedNs = Number(this.#options.clock.bootNs());
      const nowMs = this.#nowMs();
      for (const event of decodeProcessEvents(source.list())) this.#takeIn(event, nowMs);
      this.#listedNs = listedNs;
    } catch {
      this.#counts.failedReads++;
    }
  }

  /** @param cgroupId where the process was when it made the flow; it can be in another one now */
  #identityOf(process: KnownProcess, program: Program, cgroupId: bigint): ProcessIdentity {
    const { parentPid, parentName } = process;
    const { executable, commandLine } = program;
    const made = this.#made.get(process);
    const isAsKnown =
      made?.cgroupId === cgroupId &&
      made.identity.executable === executable &&
      made.identity.commandLine === commandLine;
    if (isAsKnown && !made.isPartial) return made.identity;
    const path = this.#cgroups.path(cgroupId);
    if (isAsKnown && path === undefined) return made.identity;
    const identity: ProcessIdentity = {
      ...{ executable, commandLine, parentPid, parentName },
      ...{ cgroupPath: path ?? '', ...this.#membership(process, path ?? '') },
    };
    this.#made.set(process, { identity, cgroupId, isPartial: path === undefined });
    return identity;
  }

  /** Where cgroup v1 is in use too, unit and container can be only there. */
  #membership(process: KnownProcess, path: string): CgroupMembership {
    const membership = readCgroupPath(path);
    if (membership.containerId !== '' || !this.#hasLegacyCgroups) return membership;
    const { pid, startNs } = process;
    const lines = this.#time.run(() =>
      readCgroupLines(pid, startNs + this.#bootOffsetNs, this.#options.procRoot),
    );
    const legacy = (lines ?? []).map((line) => readCgroupPath(line.split(':').slice(2).join(':')));
    const container = legacy.find((other) => other.containerId !== '') ?? NO_CONTAINER;
    const unit = legacy.find((other) => other.unit !== '')?.unit ?? '';
    return { ...container, unit: membership.unit === '' ? unit : membership.unit };
  }
}

/** What could not be read, a name that means nothing elsewhere, one that was cut: /proc has it whole. */
function isVague({ executable, commandLine }: Program): boolean {
  const isPath = executable.startsWith('/') && !executable.startsWith('/dev/fd/');
  return !isPath || commandLine === '' || Buffer.byteLength(executable) >= CUT_NAME_OCTETS;
}

function hasLegacyCgroups(root = '/proc'): boolean {
  try {
    return !readFileSync(`${root}/self/cgroup`, 'utf8').startsWith('0::');
  } catch {
    return false;
  }
}
