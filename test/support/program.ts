// A program that a test started: its lines as events that can be awaited, and its end by pid.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';

const PATIENCE_MS = 60_000;

/** The part of tap's test object that the support files need. */
export interface Teardown {
  teardown(release: () => void | Promise<void>): void;
}

export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One JSON line of a traffic generator; see test/generators/generator.h. */
export type Report = Readonly<Record<string, unknown>> & {
  readonly event: string;
  readonly pid: number;
  readonly comm: string;
  /** Start of the process in milliseconds since 1970, cut to a clock tick (10 ms). */
  readonly start_ms: number;
  /** The effective one, at the time of the report. */
  readonly uid: number;
};

interface Waiter {
  readonly isDone: () => boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Program {
  readonly out: string[] = [];
  readonly err: string[] = [];
  readonly ended: Promise<ProgramEnd>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #description: string;
  readonly #waiters = new Set<Waiter>();
  #end: ProgramEnd | undefined;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#description = [command, ...args].join(' ');
    this.#child = spawn(command, args, { env, stdio: 'pipe' });
    this.#child.stdin.on('error', () => undefined); // it may have ended without reading
    const sources = [this.#collect('stdout', this.out), this.#collect('stderr', this.err)];
    this.ended = new Promise((resolve) => {
      const finish = (end: ProgramEnd): void => {
        this.#end = end;
        resolve(end);
        this.#wake();
      };
      this.#child.once('error', (error) => {
        this.err.push(error.message);
        finish({ code: null, signal: null });
      });
      this.#child.once('exit', (code, signal) => {
        // The last lines may still be in the pipes.
        void Promise.all(sources).then(() => finish({ code, signal }));
      });
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#description}: did not start`);
    return this.#child.pid;
  }
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }
  /** Every JSON line so far. */
  get reports(): readonly Report[] {
    return this.out
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Report);
  }

  write(text: string | Buffer): void {
    this.#child.stdin.write(text);
  }

  /** Nothing more is written. */
  endInput(): void {
    this.#child.stdin.end();
  }

  /** @throws when the program ends, or time passes, before such a line comes */
  async line(stream: 'out' | 'err', pattern: RegExp): Promise<string> {
    const find = (): string | undefined => this[stream].find((line) => pattern.test(line));
    await this.#until(() => find() !== undefined, `a line like ${pattern.source}`);
    return find() ?? '';
  }

  /** The n-th report of this kind. */
  async report(event: string, n = 1): Promise<Report> {
    const find = (): Report | undefined => this.reports.filter((r) => r.event === event)[n - 1];
    await this.#until(() => find() !== undefined, `report ${n} of "${event}"`);
    const found = find();
    if (found === undefined) throw new Error('unreachable');
    return found;
  }

  /** @throws when the program ends, or time passes, before there are so many such lines */
  async lines(stream: 'out' | 'err', pattern: RegExp, count: number): Promise<void> {
    const found = (): number => this[stream].filter((line) => pattern.test(line)).length;
    await this.#until(() => found() >= count, `${count} lines like ${pattern.source}`);
  }

  /** Waits for the end and expects it to be a good one. */
  async success(): Promise<readonly Report[]> {
    await this.#until(() => this.hasEnded, 'its end');
    if (this.#end?.code !== 0) throw this.#complaint('failed');
    return this.reports;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<ProgramEnd> {
    if (!this.hasEnded) this.#child.kill(signal);
    await this.#until(() => this.hasEnded, `its end after ${signal}`);
    return this.ended;
  }

  #collect(name: 'stdout' | 'stderr', lines: string[]): Promise<void> {
    const reader = createInterface({ input: this.#child[name] });
    reader.on('line', (line) => {
      lines.push(line);
      this.#wake();
    });
    return new Promise((resolve) => reader.once('close', resolve));
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (waiter.isDone()) waiter.resolve();
      else if (this.hasEnded) waiter.reject(this.#complaint('ended early'));
      else continue;
      this.#waiters.delete(waiter);
    }
  }

  async #until(isDone: () => boolean, what: string): Promise<void> {
    const late = new AbortController();
    const wait = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(this.#complaint(`${PATIENCE_MS} ms without ${what}`));
      }, PATIENCE_MS);
      late.signal.addEventListener('abort', () => {
        clearTimeout(timer);
      });
      this.#waiters.add({ isDone, resolve, reject });
      this.#wake();
    });
    try {
      await wait;
    } finally {
      late.abort();
    }
  }

  #complaint(what: string): Error {
    const said = [...this.err, ...this.out.slice(-5)].join('\n');
    const end = this.#end === undefined ? '' : ` (${this.#end.signal ?? this.#end.code})`;
    return new Error(`${this.#description}: ${what}${end}\n${said}`);
  }
}

/** Starts a program that is killed, at the latest, when the test ends. */
export function startProgram(
  t: Teardown,
  command: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Program {
  const program = new Program(command, args, env);
  t.teardown(async () => {
    if (!program.hasEnded) await program.stop('SIGKILL');
  });
  return program;
}
