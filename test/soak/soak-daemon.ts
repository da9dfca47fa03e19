// The daemon that is soaked: started, held, killed, and watched for what it uses.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { askControl } from '../../src/daemon/control/control-client.js';
import type { SessionStatistics } from '../../src/daemon/control/meter-control.js';
import { temporaryDirectory } from '../support/control.js';
import {
  startExport,
  type ExportOptions,
  type RunningExport,
  type Summary,
} from '../support/procflow.js';
import type { Teardown } from '../support/program.js';

const PATIENCE = 2000;
const PAUSE_MS = 5;
const QUIET_PAUSE_MS = 50;
const SWEEP_INTERVAL_MS = 3000;

export interface Usage {
  readonly residentKib: number;
  readonly descriptors: number;
}

/** Kinds of what a process holds of BPF, by the words of /proc/PID/fdinfo. */
const KINDS = { prog_id: 'prog', map_id: 'map', link_id: 'link' } as const;

export class SoakDaemon {
  readonly #t: Teardown;
  readonly #options: ExportOptions;
  readonly #control: string;
  readonly #bpf = new Set<string>();
  #exporter: RunningExport | undefined;
  starts = 0;

  constructor(t: Teardown, options: ExportOptions & { readonly options: readonly string[] }) {
    this.#t = t;
    this.#control = join(temporaryDirectory(t), 'control');
    const more = ['-c', this.#control, '-t', `expint=${SWEEP_INTERVAL_MS / 1000}`];
    this.#options = { ...options, options: [...options.options, ...more] };
  }

  async start(): Promise<void> {
    this.#exporter = await startExport(this.#t, this.#options);
    this.starts++;
  }

  /**
   * What is done while it stands still and nothing is being sent to a collector: one that is started anew
   * then hears templates first.
   * @param scheme of the collector's address
   */
  async hold(scheme: 'tcp' | 'udp', act: () => Promise<void>): Promise<void> {
    const { pid } = this.#running().program;
    await this.quiet(scheme);
    process.kill(pid, 'SIGSTOP');
    try {
      await act();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }

  /** Until a sweep has just ended and all of it was sent; the next one is more than a second away. */
  async quiet(scheme: 'tcp' | 'udp'): Promise<void> {
    let [flows, grownMs] = [-1, -Infinity];
    for (let attempt = 0; attempt < PATIENCE; attempt++) {
      const { flows: exported, collectors } = await this.#statistics();
      if (flows >= 0 && exported.flows > flows) grownMs = performance.now();
      flows = exported.flows;
      const isSent = collectors.some(
        ({ destination, records }) => destination.startsWith(scheme) && records === flows,
      );
      if (isSent && performance.now() - grownMs < SWEEP_INTERVAL_MS / 3) return;
      await delay(QUIET_PAUSE_MS);
    }
    throw new Error('the daemon never rests');
  }

  /** Every flow leaves the cache for the collectors. */
  async expireAll(): Promise<void> {
    await this.#ask('expire-all');
  }

  async #statistics(): Promise<SessionStatistics> {
    return JSON.parse(await this.#ask('json statistics')) as SessionStatistics;
  }

  async #ask(request: string): Promise<string> {
    let answer = '';
    for await (const piece of askControl(this.#control, request)) answer += piece;
    return answer;
  }

  async kill(): Promise<void> {
    await this.#running().program.stop('SIGKILL');
  }

  stop(): Promise<Summary> {
    return this.#running().stop();
  }

  /** Waits for the nth line that is like this. */
  said(pattern: RegExp, count: number): Promise<void> {
    return this.#running().program.lines('err', pattern, count);
  }

  hasSaid(pattern: RegExp, count: number): boolean {
    return this.#running().program.err.filter((line) => pattern.test(line)).length >= count;
  }

  usage(): Usage {
    const { pid } = this.#running().program;
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    this.#noteBpf(pid);
    return {
      residentKib: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? NaN),
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
    };
  }

  #noteBpf(pid: number): void {
    for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
      const info = readIfThere(`/proc/${pid}/fdinfo/${fd}`);
      for (const [word, kind] of Object.entries(KINDS)) {
        const id = new RegExp(`^${word}:\\s+(\\d+)`, 'm').exec(info)?.[1];
        if (id !== undefined) this.#bpf.add(`${kind} ${id}`);
      }
    }
  }

  /** How many programs, maps and links were seen in all. */
  get bpfSeen(): number {
    return this.#bpf.size;
  }

  /** Of these, those that are still there; the kernel takes a moment to be done with them. */
  async leftInKernel(): Promise<readonly string[]> {
    for (let attempt = 0; ; attempt++) {
      const left = [...this.#bpf].filter(isInKernel);
      if (left.length === 0 || attempt === PATIENCE) return left;
      await delay(PAUSE_MS);
    }
  }

  #running(): RunningExport {
    if (this.#exporter === undefined) throw new Error('the daemon was not started');
    return this.#exporter;
  }
}

/** Empty when the descriptor was closed meanwhile. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** @param what "map 23" */
function isInKernel(what: string): boolean {
  const [kind = '', id = ''] = what.split(' ');
  try {
    execFileSync('bpftool', [kind, 'show', 'id', id], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
