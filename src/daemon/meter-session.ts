// One metering session: sweeps the flow source into the sinks until it is told to stop, then
// takes out what is left and closes everything.
import { setTimeout as sleep } from 'node:timers/promises';
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowSource, MeterCounters, SweepScope } from '../flow/flow-source.js';
import { Turns } from '../bpf-loader/turns.js';
import type { AttributionSummary } from './attribution-count.js';
import type { FlowStatisticsSummary } from './flow-statistics.js';
import { RecordCounts, type EndReasons, type RecordTotals } from './record-counts.js';

export interface MeterSessionOptions {
  readonly source: FlowSource;
  /** Closed after the source. */
  readonly sinks: readonly FlowSink[];
  readonly sweepIntervalMs: number;
  /** Ends the session in good order. */
  readonly signal: AbortSignal;
  /** At the end metering goes on, and flows stay in the cache for the next session; default: no. */
  readonly leavesFlows?: boolean;
  /** Called often, to take up interfaces that appeared; says whether there is more to do at once. */
  readonly rescanInterfaces?: () => boolean;
  /** Told of an error that does not stop the session; the same one at most once a minute. */
  readonly onNotice: (line: string) => void;
  /** Told of each sweep. */
  readonly onSweep?: (sweep: SweepOutcome) => void;
  /** Waits; ends early, without an error, when the signal is aborted. For tests. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly nowMs?: () => number;
}

export interface SweepOutcome {
  readonly scope: SweepScope;
  readonly durationMs: number;
  /** Undefined when the source failed. */
  readonly records: number | undefined;
}

/** Of the flow records that the source gave for the sinks. */
export interface MeterSummary extends RecordTotals {
  readonly durationMs: number;
  readonly endReasons: EndReasons;
  /** How the processes were found. */
  readonly attribution: AttributionSummary;
  /** What the kernel counted; undefined when it could not be asked at the end. */
  readonly counters: MeterCounters | undefined;
  readonly errors: SessionErrors;
  /** Flows that the last passes could not take out of the cache: they are lost. */
  readonly flowsLeftBehind: number;
  /** Flows that stay in the cache for the next session; undefined where metering has ended. */
  readonly flowsKept?: number;
  /** Flow records that were dropped because somebody asked for it. */
  readonly deleted: RecordTotals;
}

export interface RunningMeterSession {
  /** Rejects with what the source throws when it fails for good. */
  readonly ended: Promise<MeterSummary>;
  readonly statistics: () => FlowStatisticsSummary;
  /** Of now; counters only at the end. */
  readonly totals: () => Pick<MeterSummary, 'deleted' | 'errors'> & RecordTotals;
  /**
   * Every flow leaves the cache for the sinks, after the sweep that there may be. Resolves to the number
   * of records.
   */
  readonly expireAll: () => Promise<number>;
  /** Every flow leaves the cache and is dropped. */
  readonly deleteAll: () => Promise<RecordTotals>;
  /** The session will end, once it is aborted, without its last sweep. */
  readonly abandon: () => void;
  /** Whether metering has ended, or is about to. */
  readonly isEnding: () => boolean;
}

interface SessionErrors {
  readonly sweeps: number;
  readonly rescans: number;
  readonly sinks: number;
  /** Records that a sink did not take, once for each sink. */
  readonly recordsNotWritten: number;
}

const RESCAN_INTERVAL_MS = 200;
/** The kernel's cache has room for what comes in this time. */
const CROWD_CHECK_MS = 100;
/** On a busy host new flows keep coming while the last ones are taken out. */
const MAX_FINAL_PASSES = 8;
/** For a writer that is still at work on a flow. */
const FINAL_PAUSE_MS = 10;
/** So many failures in a row are no passing trouble: nothing is metered any more. */
const MAX_FAILED_SWEEPS = 10;
const NOTICE_INTERVAL_MS = 60_000;

/**
 * Runs until the signal is aborted, then sweeps out what is left. Closes source and sinks in any
 * case; an error in closing is a notice, because the session's outcome is worth more.
 * @throws what the source throws when it fails for good
 */
export function runMeterSession(options: MeterSessionOptions): Promise<MeterSummary> {
  return startMeterSession(options).ended;
}

/** The same, for those who want something of it while it runs. */
export function startMeterSession(options: MeterSessionOptions): RunningMeterSession {
  const session = new MeterSession(options);
  return {
    ended: run(session),
    statistics: () => session.statistics(),
    totals: () => session.totals(),
    expireAll: () => session.expireAll(),
    deleteAll: () => session.deleteAll(),
    abandon: () => {
      session.abandon();
    },
    isEnding: () => session.isEnding(),
  };
}

async function run(session: MeterSession): Promise<MeterSummary> {
  try {
    await session.sweepUntilAborted();
    await session.sweepOut();
    return session.summary();
  } finally {
    await session.close();
  }
}

class MeterSession {
  readonly #options: MeterSessionOptions;
  readonly #nowMs: () => number;
  readonly #startMs: number;
  readonly #noticedMs = new Map<string, number>();
  readonly #counts = new RecordCounts();
  readonly #deleted = new RecordCounts();
  readonly #errors = { sweeps: 0, rescans: 0, sinks: 0, recordsNotWritten: 0 };
  /** Sweeps of the session and those that somebody asks for. */
  readonly #turns = new Turns();
  #failedSweepsInARow = 0;
  /** There is more to do, after others had their turn. */
  #isRescanning = false;
  #isAbandoned = false;
  #isOver = false;

  constructor(options: MeterSessionOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#startMs = this.#nowMs();
  }

  async sweepUntilAborted(): Promise<void> {
    const { signal, sweepIntervalMs, rescanInterfaces } = this.#options;
    const rescan =
      rescanInterfaces === undefined
        ? undefined
        : setInterval(() => {
            this.#rescan(rescanInterfaces);
          }, RESCAN_INTERVAL_MS);
    try {
      let next = this.#nowMs() + sweepIntervalMs;
      for (;;) {
        await this.#waitUntil(next);
        if (signal.aborted) return;
        // Measured from the start of this sweep, so that a slow one does not shift the others.
        next = this.#nowMs() + sweepIntervalMs;
        await this.#inTurn(() => this.#sweepOrCount('expired'));
      }
    } finally {
      clearInterval(rescan);
    }
  }

  /** Ends early when the signal is aborted, and when there are more flows than are wanted. */
  async #waitUntil(timeMs: number): Promise<void> {
    const { signal, source, wait = waitOrAbort } = this.#options;
    const mostMs = source.isCrowded === undefined ? Infinity : CROWD_CHECK_MS;
    for (;;) {
      const leftMs = Math.max(0, timeMs - this.#nowMs());
      await wait(Math.min(leftMs, mostMs), signal);
      if (signal.aborted || leftMs <= mostMs || source.isCrowded?.() === true) return;
    }
  }

  /**
   * Every flow leaves the cache, with "forced end", until a pass finds none. A flow on which a writer
   * is still at work is passed over: the kernel's counters tell whether one is left. Where flows stay for
   * the next session, only those leave that have ended.
   */
  sweepOut(): Promise<void> {
    return this.#inTurn(async () => {
      this.#isOver = true;
      await this.#sweepOut();
    });
  }

  async #sweepOut(): Promise<void> {
    if (this.#options.leavesFlows === true) {
      if (!this.#isAbandoned) await this.#sweepOrCount('expired');
      return;
    }
    try {
      this.#options.source.stop();
    } catch (error) {
      this.#notice('stop metering', error);
    }
    for (let pass = 0; pass < MAX_FINAL_PASSES && !this.#isAbandoned; pass++) {
      if ((await this.#sweepOrCount('all')) !== 0) continue;
      if (flowsInCache(this.#counters()) === 0) return;
      await sleep(FINAL_PAUSE_MS);
    }
  }

  expireAll(): Promise<number> {
    return this.#onRequest(() =>
      this.#untilTaken(async () => {
        const records = await this.#sweepOrCount('all');
        if (records === undefined) throw new Error('the flow cache could not be read');
        return records;
      }),
    );
  }

  deleteAll(): Promise<RecordTotals> {
    return this.#onRequest(async () => {
      const deleted = new RecordCounts();
      await this.#untilTaken(async () => {
        let records = 0;
        for await (const batch of this.#options.source.sweep('all')) {
          records += batch.count;
          this.#deleted.add(batch);
          deleted.add(batch);
        }
        return records;
      });
      return deleted.totals();
    });
  }

  /** A pass may miss some, so more of them are made until as many are taken as there were. */
  async #untilTaken(pass: () => Promise<number>): Promise<number> {
    const there = flowsInCache(this.#counters());
    let records = 0;
    for (let i = 0; i < MAX_FINAL_PASSES; i++) {
      const taken = await pass();
      records += taken;
      if (taken === 0 || records >= there) break;
    }
    return records;
  }

  abandon(): void {
    this.#isAbandoned = true;
  }

  isEnding(): boolean {
    return this.#isOver || this.#options.signal.aborted;
  }

  statistics(): FlowStatisticsSummary {
    return this.#counts.statistics();
  }

  totals(): Pick<MeterSummary, 'deleted' | 'errors'> & RecordTotals {
    const errors = { ...this.#errors };
    return { ...this.#counts.totals(), deleted: this.#deleted.totals(), errors };
  }

  summary(): MeterSummary {
    const counters = this.#counters();
    const { leavesFlows = false } = this.#options;
    return {
      ...this.totals(),
      durationMs: this.#nowMs() - this.#startMs,
      endReasons: this.#counts.endReasons(),
      attribution: this.#counts.attribution(),
      counters,
      flowsLeftBehind: leavesFlows ? 0 : flowsInCache(counters),
      ...(leavesFlows && { flowsKept: flowsInCache(counters) }),
    };
  }

  /** Source first, then the sinks; each is closed even when another fails to. */
  async close(): Promise<void> {
    this.#isOver = true;
    try {
      this.#options.source.close();
    } catch (error) {
      this.#notice('release the flow source', error);
    }
    // Side by side: each may wait for a collector.
    const results = await Promise.allSettled(this.#options.sinks.map((sink) => sink.close()));
    for (const result of results) {
      if (result.status === 'rejected') this.#notice('close a flow sink', result.reason);
    }
  }

  #onRequest<Result>(act: () => Promise<Result>): Promise<Result> {
    return this.#inTurn(() => {
      if (this.#isOver) throw new Error('the session is ending');
      return act();
    });
  }

  async #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const done = await this.#turns.next();
    try {
      return await act();
    } finally {
      done();
    }
  }

  /** Returns the number of records; undefined when the source failed, which is counted. */
  async #sweepOrCount(scope: SweepScope): Promise<number | undefined> {
    const startMs = this.#nowMs();
    let records: number | undefined = 0;
    try {
      // Not broken off when the signal is aborted: a batch that was read but not asked for would
      // be lost. A sweep ends soon by itself.
      for await (const batch of this.#options.source.sweep(scope)) {
        records += batch.count;
        this.#counts.add(batch);
        await this.#toEachSink((sink) => sink.write(batch), batch.count);
      }
      this.#failedSweepsInARow = 0;
    } catch (error) {
      records = undefined;
      this.#errors.sweeps++;
      this.#failedSweepsInARow++;
      if (this.#failedSweepsInARow >= MAX_FAILED_SWEEPS) throw error;
      this.#notice('sweep the flow cache', error);
    }
    await this.#toEachSink((sink) => sink.flush(), 0);
    this.#options.onSweep?.({ scope, records, durationMs: this.#nowMs() - startMs });
    return records;
  }

  /** A sink that fails keeps no other from its records. */
  async #toEachSink(act: (sink: FlowSink) => Promise<void>, records: number): Promise<void> {
    const results = await Promise.allSettled(this.#options.sinks.map((sink) => act(sink)));
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      this.#errors.sinks++;
      this.#errors.recordsNotWritten += records;
      this.#notice('write flow records', result.reason);
    }
  }

  #rescan(rescanInterfaces: () => boolean): void {
    if (this.#isRescanning || this.isEnding()) return;
    try {
      this.#isRescanning = rescanInterfaces();
    } catch (error) {
      this.#errors.rescans++;
      this.#notice('look for new interfaces', error);
    }
    if (!this.#isRescanning) return;
    setImmediate(() => {
      this.#isRescanning = false;
      this.#rescan(rescanInterfaces);
    });
  }

  #counters(): MeterCounters | undefined {
    try {
      return this.#options.source.counters();
    } catch (error) {
      this.#notice("read the kernel's counters", error);
      return undefined;
    }
  }

  #notice(operation: string, error: unknown): void {
    const line = `${operation}: ${error instanceof Error ? error.message : String(error)}`;
    const now = this.#nowMs();
    if (now - (this.#noticedMs.get(line) ?? -Infinity) < NOTICE_INTERVAL_MS) return;
    if (this.#noticedMs.size >= 100) this.#noticedMs.clear();
    this.#noticedMs.set(line, now);
    this.#options.onNotice(line);
  }
}

/** 0 where the kernel could not be asked, which is a notice and a line of the summary by itself. */
function flowsInCache(counters: MeterCounters | undefined): number {
  return counters === undefined ? 0 : counters.FLOWS_CREATED - counters.FLOWS_DELETED;
}

async function waitOrAbort(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
