// Constructs the parts of a metering session - the only place that does - and runs them.
import { readFileSync } from 'node:fs';
import { openKernelClock } from '../bpf-loader/kernel-clock.js';
import { openKernelFlowSource, type KernelFlowSource } from '../bpf-loader/kernel-flow-source.js';
import type { Metered } from '../bpf-loader/packet-capture.js';
import { findCgroup2Mount } from '../bpf-loader/socket-hooks.js';
import { createExportingProcess, type ExportingProcess } from '../exporter/exporting-process.js';
import { createUdpTransport } from '../exporter/transports/udp-transport.js';
import type { ExportStatistics } from '../exporter/export-counters.js';
import type { KernelClock } from '../flow/clock.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory, ProcessStatistics } from '../flow/process-directory.js';
import { KnownProcesses } from '../process/known-processes.js';
import type { ExportConfig, MeterConfig } from './meter-config.js';
import { runMeterSession, type MeterSummary } from './meter-session.js';

export type { Metered };

interface MeterHooks {
  /** Ends the session in good order. */
  readonly signal: AbortSignal;
  /** Packets are being metered from now on, in these places. */
  readonly onMetering: (metered: Metered) => void;
  /** What an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
}

/** What a sink needs to turn a record into something to read. */
export interface FlowContext {
  readonly clock: KernelClock;
  readonly directory: ProcessDirectory;
  readonly nonProcessNames: NonProcessNames;
}

export type { ExportStatistics };

export interface RunSummary extends MeterSummary {
  readonly processes: ProcessStatistics;
}

export interface ExportSummary extends RunSummary {
  readonly exported: ExportStatistics;
}

const MIN_SWEEP_INTERVAL_MS = 100;
const MAX_SWEEP_INTERVAL_MS = 1000;
/** The kernel's buffer of process events holds some seconds of a busy host. */
const DRAIN_INTERVAL_MS = 100;
/** A socket can send for minutes after its process has ended: what is not acknowledged yet. */
const MIN_RETAIN_MS = 10 * 60_000;

/**
 * Meters into one sink until the signal is aborted.
 * @throws BpfError, or what the session throws
 */
export async function runMeter(
  config: MeterConfig,
  openSink: (context: FlowContext) => Promise<FlowSink>,
  hooks: MeterHooks,
): Promise<RunSummary> {
  const clock = openKernelClock();
  const directory = openDirectory(config, clock);
  const context: FlowContext = {
    clock,
    directory,
    nonProcessNames: config.nonProcessNames,
  };
  // The sink first: a collector that cannot be reached is known before the kernel is touched.
  const sink = await openSink(context);
  let source: KernelFlowSource;
  try {
    source = openKernelFlowSource({ ...config, onNotice: hooks.onNotice });
  } catch (error) {
    await sink.close();
    throw error;
  }
  directory.follow(source.processes);
  const session = runMeterSession({
    source,
    sinks: [sink],
    sweepIntervalMs: sweepIntervalMs(config),
    signal: hooks.signal,
    onNotice: hooks.onNotice,
    rescanInterfaces: () => {
      source.rescanInterfaces();
    },
  });
  hooks.onMetering(source.metered());
  const drain = setInterval(() => {
    directory.drain();
  }, DRAIN_INTERVAL_MS);
  try {
    return { ...(await session), processes: directory.statistics() };
  } finally {
    clearInterval(drain);
  }
}

function openDirectory(config: MeterConfig, clock: KernelClock): KnownProcesses {
  const lifetimeMs = config.activeTimeoutMs + config.idleTimeoutMs;
  return new KnownProcesses({
    clock,
    cgroupMount: findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8')),
    retainMs: Math.max(MIN_RETAIN_MS, 2 * lifetimeMs),
  });
}

/**
 * Meters and exports to a collector until the signal is aborted.
 * @throws BpfError, ExportError, or what the session throws
 */
export async function runExporter(
  meter: MeterConfig,
  config: ExportConfig,
  hooks: MeterHooks,
): Promise<ExportSummary> {
  let exporter: ExportingProcess | undefined;
  const openSink = async (context: FlowContext): Promise<FlowSink> => {
    const { collector, source, profile, ...options } = config;
    const transport = createUdpTransport({ ...collector, source });
    exporter = createExportingProcess(
      { ...options, templates: { profile }, ...context },
      transport,
    );
    await exporter.open();
    return exporter;
  };
  const summary = await runMeter(meter, openSink, hooks);
  if (exporter === undefined) throw new Error('the session ended without an exporter');
  return { ...summary, exported: exporter.statistics() };
}

/** Four times in the shorter timeout, but within bounds: each sweep walks the whole cache. */
export function sweepIntervalMs(
  config: Pick<MeterConfig, 'activeTimeoutMs' | 'idleTimeoutMs'>,
): number {
  const quarter = Math.floor(Math.min(config.activeTimeoutMs, config.idleTimeoutMs) / 4);
  return Math.min(MAX_SWEEP_INTERVAL_MS, Math.max(MIN_SWEEP_INTERVAL_MS, quarter));
}
