// Constructs the parts of a replay - the session in which a capture file is metered - and runs them.
import { openFrameReplay } from '../bpf-loader/capture-replay.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowSource } from '../flow/flow-source.js';
import type { MeteringStatus } from '../flow/metering-status.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import { CaptureFrames, type ReplayCounts, type ReplayProgress } from './capture-frames.js';
import type { CaptureInputError } from './capture-input-error.js';
import { openCaptureInput, type CaptureInput } from './capture-input.js';
import type { ExportConfig } from './export-config.js';
import { MeteringLossWatch } from './metering-losses.js';
import { runMeterSession, type MeterSummary } from './meter-session.js';
import { claimObservationDomain } from './observation-domain.js';
import { openExporters, type CollectorStatistics, type OpenExporters } from './open-exporters.js';
import type { ReplayConfig } from './replay-config.js';
import type { FlowContext } from './run-meter.js';
import type { TimeoutConfig } from './timeouts-config.js';

export type { ReplayProgress };

interface ReplayHooks {
  /** Ends the replay where it is; what has been metered is still given out. */
  readonly signal: AbortSignal;
  /** The file is one that can be metered. */
  readonly onMetering: (file: ReplayedFile) => void;
  readonly onProgress?: (progress: ReplayProgress) => void;
  /** What an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
}

export interface ReplayedFile {
  readonly name: string;
  /** Undefined of a pipe. */
  readonly octets: number | undefined;
}

/** Its durationMs is the capture's. */
export interface ReplaySummary extends MeterSummary {
  readonly counts: ReplayCounts;
  /** How long reading and metering took. */
  readonly elapsedMs: number;
  /** Why the file could not be read to its end. */
  readonly fault: CaptureInputError | undefined;
}

export interface ExportReplaySummary extends ReplaySummary {
  /** Of each collector. */
  readonly exported: readonly CollectorStatistics[];
}

const MIN_SWEEP_INTERVAL_MS = 100;
/** Of the capture's time: flows that end in a pause are all told at its end anyway. */
const MAX_SWEEP_INTERVAL_MS = 10_000;
/** How long the end waits for a collector that takes nothing. */
const DRAIN_PATIENCE_MS = 3000;

/** Of the processes in a capture file nothing is known. */
const NOBODY: ProcessDirectory = {
  userName: (uid) => uid.toString(),
  userNameBytes: (uid) => Buffer.from(uid.toString()),
  identity: () => undefined,
};

/**
 * Meters a capture file into sinks.
 * @throws CaptureInputError when nothing of it can be metered, BpfError, or what the session throws
 */
export async function runReplay(
  config: ReplayConfig,
  openSinks: (context: FlowContext) => Promise<readonly FlowSink[]>,
  hooks: ReplayHooks,
): Promise<ReplaySummary> {
  const input = openCaptureInput(config.file);
  try {
    return await replayInput(input, config, openSinks, hooks);
  } finally {
    await input.close();
  }
}

async function replayInput(
  input: CaptureInput,
  config: ReplayConfig,
  openSinks: (context: FlowContext) => Promise<readonly FlowSink[]>,
  hooks: ReplayHooks,
): Promise<ReplaySummary> {
  const { filter, interfaceIndex, nonProcessNames } = config;
  const { onProgress, signal } = hooks;
  const intervalMs = replaySweepIntervalMs(config);
  const frames = new CaptureFrames({
    ...{ input, filter, interfaceIndex, onProgress },
    sweepIntervalMs: intervalMs,
  });
  const clock = await frames.begin(signal);
  const replay = openFrameReplay({
    ...config,
    nowNs: () => frames.sweepNs,
    isSparse: frames.isSparse,
  });
  const [status, source] = replayStatus(config, {
    sweep: (scope) => replay.sweep(frames.isLeaping ? 'all' : scope),
    counters: () => replay.counters(),
    stop: () => replay.stop(),
    close: () => replay.close(),
  });
  const ended = new AbortController();
  let sinks: readonly FlowSink[];
  try {
    sinks = await openSinks({ clock, directory: NOBODY, nonProcessNames, status });
  } catch (error) {
    source.close();
    throw error;
  }
  hooks.onMetering({ name: input.name, octets: input.octets });
  const begunMs = performance.now();
  const summary = await runMeterSession({
    source,
    sinks,
    sweepIntervalMs: intervalMs,
    signal: AbortSignal.any([signal, ended.signal]),
    onNotice: hooks.onNotice,
    nowMs: () => clock.nowMs(),
    // Nothing but the file tells when the time has come.
    wait: async () => {
      if (!(await frames.meterUntilSweep(replay, clock, signal))) ended.abort();
    },
  });
  const { fault } = frames;
  return { ...summary, counts: frames.counts(), elapsedMs: performance.now() - begunMs, fault };
}

/** Sinks that are still closing may ask, and what the kernel knew is gone by then. */
function replayStatus(
  { sampling }: ReplayConfig,
  source: FlowSource,
): [MeteringStatus, FlowSource] {
  const metering: { source?: FlowSource } = { source };
  const watch = new MeteringLossWatch(() => metering.source?.counters());
  const status = { sampling, interfaces: () => [], losses: () => watch.losses() };
  const watched: FlowSource = {
    sweep: (scope) => source.sweep(scope),
    counters: () => source.counters(),
    stop: () => source.stop(),
    close: () => {
      watch.losses();
      delete metering.source;
      source.close();
    },
  };
  return [status, watched];
}

/**
 * Meters a capture file and exports it to collectors.
 * @throws as runReplay, and ExportError
 */
export async function runReplayExporter(
  config: ReplayConfig,
  exporting: ExportConfig,
  hooks: ReplayHooks,
): Promise<ExportReplaySummary> {
  let exporters: OpenExporters | undefined;
  const { file, filter, interfaceIndex } = config;
  const domain = await claimObservationDomain({ file, filter, interfaceIndex });
  try {
    const openSinks = async (context: FlowContext): Promise<readonly FlowSink[]> => {
      const opened = await openExporters(exporting, {
        ...context,
        sweepIntervalMs: replaySweepIntervalMs(config),
        maxFlows: config.maxFlows,
        observationDomainId: domain.id,
        isPatient: true,
        onNotice: hooks.onNotice,
      });
      exporters = opened;
      const drained = (): Promise<void> =>
        // Whoever breaks it off does not want to wait.
        hooks.signal.aborted ? Promise.resolve() : opened.drain(DRAIN_PATIENCE_MS);
      return opened.sinks.map((sink) => drainedFirst(sink, drained));
    };
    const summary = await runReplay(config, openSinks, hooks);
    if (exporters === undefined) throw new Error('the replay ended without an exporter');
    return { ...summary, exported: exporters.statistics() };
  } finally {
    domain.close();
  }
}

/** A file is metered faster than it can be sent: what waits has all the time it needs. */
function drainedFirst(sink: FlowSink, drained: () => Promise<void>): FlowSink {
  return {
    write: (batch) => sink.write(batch),
    flush: () => sink.flush(),
    close: async () => {
      await drained();
      await sink.close();
    },
  };
}

/** What was asked for, or four times in the shortest timeout. */
function replaySweepIntervalMs(config: TimeoutConfig): number {
  if (config.sweepIntervalMs !== undefined) return config.sweepIntervalMs;
  const { maxlife, general, tcp, udp, icmp } = config.timeouts;
  const quarter = Math.floor(Math.min(maxlife, general, tcp, udp, icmp) / 4);
  return Math.min(MAX_SWEEP_INTERVAL_MS, Math.max(MIN_SWEEP_INTERVAL_MS, quarter));
}
