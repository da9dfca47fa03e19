// Constructs the parts of a metering session - the only place that does - and runs them.
import { readFileSync, statSync } from 'node:fs';
import type { FilterCompiler } from '../bpf-loader/filter/compile-filter.js';
import { checkFilter } from '../bpf-loader/filter/packet-filter.js';
import { openJournalMemory } from '../bpf-loader/journal-memory.js';
import { openKernelClock } from '../bpf-loader/kernel-clock.js';
import { openKernelFlowSource, type KernelFlowSource } from '../bpf-loader/kernel-flow-source.js';
import type { Metered } from '../bpf-loader/packet-capture.js';
import { actAs, becomeUser } from '../bpf-loader/process-user.js';
import { findCgroup2Mount } from '../bpf-loader/socket-hooks.js';
import { openStateDirectory, type StateDirectory } from '../bpf-loader/state/state-directory.js';
import type { KernelClock } from '../flow/clock.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowSource } from '../flow/flow-source.js';
import type { FlowTimeouts } from '../flow/flow-timeouts.js';
import type { MeteredInterface, MeteringStatus } from '../flow/metering-status.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory, ProcessStatistics } from '../flow/process-directory.js';
import { KnownProcesses } from '../process/known-processes.js';
import { openControl, type ControlPlace, type ControlProtocol } from './control/control-place.js';
import { DebugLevel } from './control/debug-level.js';
import { createMeterControl } from './control/session-control.js';
import type { ExportConfig } from './export-config.js';
import type { MeterConfig } from './meter-config.js';
import { describeError } from './describe-error.js';
import { MeteringLossWatch, NO_LOSSES } from './metering-losses.js';
import { claimObservationDomain } from './observation-domain.js';
import { openExporters, type CollectorStatistics, type OpenExporters } from './open-exporters.js';
import { startMeterSession, type MeterSummary } from './meter-session.js';
import type { TimeoutConfig } from './timeouts-config.js';

export type { ControlProtocol, Metered };

export interface MeterHooks {
  /** Ends the session in good order. */
  readonly signal: AbortSignal;
  /** Packets are being metered from now on, in these places. */
  readonly onMetering: (metered: Metered) => void;
  /** What an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
  /** Where the session can be asked and told, if anywhere. */
  readonly control?: ControlConfig | undefined;
}

export interface ControlConfig {
  /** Of a Unix socket. */
  readonly path: string;
  readonly protocol: ControlProtocol;
}

/** What a sink needs to turn a record into something to read. */
export interface FlowContext {
  readonly clock: KernelClock;
  readonly directory: ProcessDirectory;
  readonly nonProcessNames: NonProcessNames;
  readonly status: MeteringStatus;
  /** What outlives the process; undefined: nothing. */
  readonly state?: StateDirectory | undefined;
}

export type { CollectorStatistics };

export interface RunSummary extends MeterSummary {
  readonly processes: ProcessStatistics;
}

export interface ExportSummary extends RunSummary {
  /** Of each collector. */
  readonly exported: readonly CollectorStatistics[];
}

const MIN_SWEEP_INTERVAL_MS = 100;
const MAX_SWEEP_INTERVAL_MS = 1000;
/** The kernel's buffer of process events holds some seconds of a busy host. */
const DRAIN_INTERVAL_MS = 100;
/** A socket can send for minutes after its process has ended: what is not acknowledged yet. */
const MIN_RETAIN_MS = 10 * 60_000;
/** For flows that never end by themselves. */
const MAX_RETAIN_MS = 24 * 3_600_000;

/**
 * Meters into sinks until the signal is aborted.
 * @throws BpfError, FilterError, or what the session throws
 */
export async function runMeter(
  config: MeterConfig,
  openSinks: (context: FlowContext) => Promise<readonly FlowSink[] | OpenExporters>,
  hooks: MeterHooks,
): Promise<RunSummary> {
  const { filter: expression } = config;
  const filter = expression === undefined ? undefined : checkFilter(expression, config.capture);
  const { control: wanted, onNotice } = hooks;
  const { user: owner } = config;
  const place: ControlPlace = {};
  // Before anything is metered: a path that cannot be had is known at once.
  const socket =
    wanted === undefined ? undefined : await openControl(place, { ...wanted, owner, onNotice });
  let state: StateDirectory | undefined;
  try {
    if (config.state !== undefined) state = openStateDirectory(config.state);
    return await runControlled(config, openSinks, { ...hooks, place, filter, state });
  } finally {
    delete place.control;
    state?.close();
    await socket?.close();
  }
}

type ControlledHooks = MeterHooks & {
  readonly state: StateDirectory | undefined;
  readonly place: ControlPlace;
  readonly filter: FilterCompiler | undefined;
};

async function runControlled(
  config: MeterConfig,
  openSinks: (context: FlowContext) => Promise<readonly FlowSink[] | OpenExporters>,
  hooks: ControlledHooks,
): Promise<RunSummary> {
  const clock = openKernelClock();
  const directory = openDirectory(config, clock);
  const { nonProcessNames, user } = config;
  const { filter, state, onNotice } = hooks;
  const metering: { source?: KernelFlowSource } = {};
  const status = meteringStatus(config, metering, onNotice);
  // The sinks first: a collector that cannot be reached is known before the kernel is touched.
  const open = async () => openSinks({ clock, directory, nonProcessNames, status, state });
  // As the user it is going to be: what it may open now it may open again.
  const opened = await (user === undefined ? open() : actAs(user, open));
  const exporters = 'sinks' in opened ? opened : undefined;
  const sinks = 'sinks' in opened ? opened.sinks : opened;
  const { memory } = exporters ?? {};
  const losesCapabilities = user !== undefined;
  const options = { ...config, filter, state, losesCapabilities, onNotice, memory };
  const source = await openSource(options, { sinks, directory, user });
  metering.source = source;
  const stop = new AbortController();
  const debugLevel = new DebugLevel(onNotice);
  const session = startMeterSession({
    source: beforeClose(source, () => {
      try {
        // A sink that is still closing may ask, and what the kernel knew is gone by then.
        status.interfaces();
        status.losses();
      } finally {
        delete metering.source;
        delete hooks.place.control;
      }
    }),
    sinks,
    sweepIntervalMs: sweepIntervalMs(config),
    signal: AbortSignal.any([hooks.signal, stop.signal]),
    onNotice,
    onSweep: (sweep) => {
      debugLevel.sweepDone(sweep, source.flowCount, () => exporters?.statistics() ?? []);
    },
    rescanInterfaces: source.rescanInterfaces,
    leavesFlows: state !== undefined,
  });
  hooks.place.control = createMeterControl({
    ...{ session, source, exporters, clock, directory, nonProcessNames, debugLevel },
    timeouts: { timeouts: config.timeouts, sweepIntervalMs: sweepIntervalMs(config) },
    stop: stop.abort.bind(stop),
  });
  hooks.onMetering(source.metered());
  const drain = setInterval(() => {
    directory.drain();
  }, DRAIN_INTERVAL_MS);
  try {
    return { ...(await session.ended), processes: directory.statistics() };
  } finally {
    clearInterval(drain);
  }
}

interface SourceUsers {
  readonly sinks: readonly FlowSink[];
  readonly directory: KnownProcesses;
  readonly user: MeterConfig['user'];
}

/** All that takes rights; after it they are given up, where a user is named. Without it the sinks are closed. */
async function openSource(
  options: Parameters<typeof openKernelFlowSource>[0],
  { sinks, directory, user }: SourceUsers,
): Promise<KernelFlowSource> {
  let source: KernelFlowSource | undefined;
  try {
    source = openKernelFlowSource(options);
    directory.follow(source.processes);
    if (user !== undefined) becomeUser(user, source.neededLater);
    return source;
  } catch (error) {
    source?.close();
    for (const sink of sinks) await sink.close();
    throw error;
  }
}

function beforeClose(source: FlowSource, act: () => void): FlowSource {
  return {
    ...source,
    close: () => {
      try {
        act();
      } finally {
        source.close();
      }
    },
  };
}

/** Of the source while there is one: sinks are opened before it and closed after. */
function meteringStatus(
  { sampling }: MeterConfig,
  metering: { readonly source?: KernelFlowSource },
  onNotice: (line: string) => void,
): MeteringStatus {
  const watch = new MeteringLossWatch(() => metering.source?.counters());
  return {
    sampling,
    interfaces: lastAnswer<readonly MeteredInterface[]>(
      () => metering.source?.interfaces(),
      [],
      onNotice,
    ),
    losses: lastAnswer(() => watch.losses(), NO_LOSSES, onNotice),
  };
}

/** What was answered last, where there is no answer now: options are not worth a session. */
function lastAnswer<Answer>(
  ask: () => Answer | undefined,
  first: Answer,
  onNotice: (line: string) => void,
): () => Answer {
  let last = first;
  return () => {
    try {
      last = ask() ?? last;
    } catch (error) {
      onNotice(`tell collectors of the metering: ${describeError(error).line}`);
    }
    return last;
  };
}

function openDirectory(config: MeterConfig, clock: KernelClock): KnownProcesses {
  const lifetimeMs = longestLifetimeMs(config.timeouts);
  return new KnownProcesses({
    clock,
    cgroupMount: findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8')),
    retainMs: Math.max(MIN_RETAIN_MS, 2 * lifetimeMs),
  });
}

/**
 * Meters and exports to collectors until the signal is aborted.
 * @throws BpfError, ExportError, or what the session throws
 */
export async function runExporter(
  meter: MeterConfig,
  config: ExportConfig,
  hooks: MeterHooks,
): Promise<ExportSummary> {
  let exporters: OpenExporters | undefined;
  const domain = await claimObservationDomain(observedPlace(meter));
  try {
    const openSinks = async (context: FlowContext): Promise<OpenExporters> => {
      const { onNotice } = hooks;
      const observationDomainId = domain.id;
      const { state, ...others } = context;
      exporters = await openExporters(config, {
        ...others,
        ...(state !== undefined && {
          openMemory: (octets: number) => openJournalMemory(state, octets),
        }),
        sweepIntervalMs: sweepIntervalMs(meter),
        maxFlows: meter.maxFlows,
        observationDomainId,
        onNotice,
      });
      return exporters;
    };
    const summary = await runMeter(meter, openSinks, hooks);
    if (exporters === undefined) throw new Error('the session ended without an exporter');
    return { ...summary, exported: exporters.statistics() };
  } finally {
    domain.close();
  }
}

/** What tells the Observation Domains of a host apart. */
function observedPlace(meter: MeterConfig): unknown {
  const { ino } = statSync('/proc/self/ns/net');
  const { capture, cgroup } = meter;
  if (meter.capture === 'sockets') return { ino, capture, cgroup };
  return { ino, capture, interfaces: meter.interfaces, netns: meter.netns };
}

/** From a flow's first packet to its last record. */
function longestLifetimeMs({ maxlife, ...idle }: FlowTimeouts): number {
  const lifetimeMs = maxlife + Math.max(...Object.values(idle));
  return Number.isFinite(lifetimeMs) ? lifetimeMs : MAX_RETAIN_MS;
}

/**
 * What was asked for, or four times in the shortest timeout, but within bounds: each sweep walks the
 * whole cache. The short ones after FIN and RST wait.
 */
export function sweepIntervalMs(config: TimeoutConfig): number {
  if (config.sweepIntervalMs !== undefined) return config.sweepIntervalMs;
  const { maxlife, general, tcp, udp, icmp } = config.timeouts;
  const quarter = Math.floor(Math.min(maxlife, general, tcp, udp, icmp) / 4);
  return Math.min(MAX_SWEEP_INTERVAL_MS, Math.max(MIN_SWEEP_INTERVAL_MS, quarter));
}
