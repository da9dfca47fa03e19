// One metering session: sweeps the flow source into the sinks until it is told to stop, then
// takes out what is left and closes everything.
import { setTimeout as sleep } from 'node:timers/promises';
import { FLOW_END_REASON, FLOW_RECORD } from '../flow/flow-contract.gen.js';
import { FlowRecord } from '../flow/flow-record.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type {
  FlowRecordBatch,
  FlowSource,
  MeterCounters,
  SweepScope,
} from '../flow/flow-source.js';
import { AttributionCount, type AttributionSummary } from './attribution-count.js';

export interface MeterSessionOptions {
  readonly source: FlowSource;
  /** Closed after the source. */
  readonly sinks: readonly FlowSink[];
  readonly sweepIntervalMs: number;
  /** Ends the session in good order. */
  readonly signal: AbortSignal;
  /** Called often, to take up interfaces that appeared. */
  readonly rescanInterfaces?: () => void;
  /** Told of an error that does not stop the session; the same one at most once a minute. */
  readonly onNotice: (line: string) => void;
  /** Waits; ends early, without an error, when the signal is aborted. For tests. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly nowMs?: () => number;
}

type EndReasonName = keyof typeof FLOW_END_REASON;

export interface MeterSummary {
  readonly durationMs: number;
  /** Flow records that the source gave, and what they sum up to. */
  readonly records: number;
  readonly packets: number;
  readonly octets: number;
  readonly endReasons: Readonly<Partial<Record<EndReasonName, number>>>;
  /** How the processes were found. */
  readonly attribution: AttributionSummary;
  /** What the kernel counted; undefined when it could not be asked at the end. */
  readonly counters: MeterCounters | undefined;
  readonly errors: SessionErrors;
  /** Flows that the last passes could not take out of the cache: they are lost. */
  readonly flowsLeftBehind: number;
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
export async function runMeterSession(options: MeterSessionOptions): Promise<MeterSummary> {
  const session = new MeterSession(options);
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
  readonly #view = new FlowRecord();
  readonly #noticedMs = new Map<string, number>();
  readonly #endReasons = new Map<number, number>();
  readonly #attribution = new AttributionCount();
  readonly #errors = { sweeps: 0, rescans: 0, sinks: 0, recordsNotWritten: 0 };
  #records = 0;
  #packets = 0;
  #octets = 0;
  #failedSweepsInARow = 0;

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
        await this.#sweepOrCount('expired');
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
   * is still at work is passed over: the kernel's counters tell whether one is left.
   */
  async sweepOut(): Promise<void> {
    try {
      this.#options.source.stop();
    } catch (error) {
      this.#notice('stop metering', error);
    }
    for (let pass = 0; pass < MAX_FINAL_PASSES; pass++) {
      if ((await this.#sweepOrCount('all')) !== 0) continue;
      if (flowsInCache(this.#counters()) === 0) return;
      await sleep(FINAL_PAUSE_MS);
    }
  }

  summary(): MeterSummary {
    const endReasons: Partial<Record<EndReasonName, number>> = {};
    for (const [name, value] of Object.entries(FLOW_END_REASON)) {
      const count = this.#endReasons.get(value);
      if (count !== undefined) endReasons[name as EndReasonName] = count;
    }
    const counters = this.#counters();
    return {
      durationMs: this.#nowMs() - this.#startMs,
      records: this.#records,
      packets: this.#packets,
      octets: this.#octets,
      endReasons,
      attribution: this.#attribution.summary(),
      counters,
      errors: { ...this.#errors },
      flowsLeftBehind: flowsInCache(counters),
    };
  }

  /** Source first, then the sinks; each is closed even when another fails to. */
  async close(): Promise<void> {
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

  /** Returns the number of records; undefined when the source failed, which is counted. */
  async #sweepOrCount(scope: SweepScope): Promise<number | undefined> {
    let records: number | undefined = 0;
    try {
      // Not broken off when the signal is aborted: a batch that was read but not asked for would
      // be lost. A sweep ends soon by itself.
      for await (const batch of this.#options.source.sweep(scope)) {
        records += batch.count;
        this.#count(batch);
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
    return records;
  }

  #count(batch: FlowRecordBatch): void {
    this.#records += batch.count;
    for (let i = 0; i < batch.count; i++) {
      const record = this.#view.at(batch.bytes, i * FLOW_RECORD.size);
      this.#packets += record.packets;
      this.#octets += record.octets;
      this.#attribution.add(record);
      this.#endReasons.set(record.endReason, (this.#endReasons.get(record.endReason) ?? 0) + 1);
    }
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

  #rescan(rescanInterfaces: () => void): void {
    try {
      rescanInterfaces();
    } catch (error) {
      this.#errors.rescans++;
      this.#notice('look for new interfaces', error);
    }
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
