// The control of a session that runs: what is asked goes to the parts that know it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelFlowSource } from '../../bpf-loader/kernel-flow-source.js';
import { nsToMs, type KernelClock } from '../../flow/clock.js';
import type { MeterCounters } from '../../flow/flow-source.js';
import type { NonProcessNames } from '../../flow/non-process-names.js';
import type { ProcessDirectory } from '../../flow/process-directory.js';
import type { RunningMeterSession } from '../meter-session.js';
import type { OpenExporters } from '../open-exporters.js';
import type { DebugLevel } from './debug-level.js';
import type { InterfaceState, MeterControl, SessionTimeouts } from './meter-control.js';
import { largestProcesses } from './process-traffic.js';

export interface ControlledSession {
  readonly session: RunningMeterSession;
  readonly source: KernelFlowSource;
  readonly exporters: OpenExporters | undefined;
  readonly timeouts: SessionTimeouts;
  readonly clock: KernelClock;
  readonly directory: ProcessDirectory;
  readonly nonProcessNames: NonProcessNames;
  readonly debugLevel: DebugLevel;
  /** Ends the session. */
  readonly stop: () => void;
}

/** An answer that takes longer is given before all is done. */
const PATIENCE_MS = 5000;

export function createMeterControl(controlled: ControlledSession): MeterControl {
  const { session, source, exporters, timeouts, clock, directory, nonProcessNames } = controlled;
  const sinceMs = Date.now();
  let isGathering = true;
  const sendTemplates = () => exporters?.resendTemplates() ?? [];
  return {
    statistics: () => ({
      sinceMs,
      activeFlows: source.flowCount(),
      isGathering,
      flows: session.statistics(),
      deleted: session.totals().deleted,
      recordsNotWritten: session.totals().errors.recordsNotWritten,
      counters: countersOf(source),
      collectors: exporters?.statistics() ?? [],
    }),
    timeouts: () => timeouts,
    expireAll: () => patiently(session.expireAll()),
    deleteAll: () => patiently(session.deleteAll()),
    flows: () => ({
      ...timeouts,
      batches: source.flows(),
      bootEpoch: clock.bootEpoch(),
      bootMs: nsToMs(clock.bootNs()),
      directory,
      nonProcessNames,
    }),
    stopGather: () => {
      isGathering = false;
      source.stop();
    },
    startGather: () => {
      // What is attached while the last flows leave would be metered for nobody.
      if (session.isEnding()) throw new Error('the session is ending: nothing is metered any more');
      source.resume();
      isGathering = true;
    },
    sendTemplates,
    changeDebugLevel: (step) => controlled.debugLevel.change(step),
    shutdown: controlled.stop,
    exit: () => {
      session.abandon();
      exporters?.abandon();
      controlled.stop();
    },
    interfaces: () => interfaceStates(source),
    topProcesses: (count) => largestProcesses(source.flows(), count, directory),
    reload: () => {
      source.rescanInterfaces();
      exporters?.refresh();
      const destinations = exporters?.statistics().map(({ destination }) => destination) ?? [];
      return { destinations, templates: sendTemplates() };
    },
  };
}

/**
 * Waits a while only: a sweep may wait for a collector, and whoever asks shall have an answer. What was
 * asked for is done all the same.
 */
async function patiently<Outcome>(asked: Promise<Outcome>): Promise<Outcome | undefined> {
  // A failure after that is counted and told by the session.
  asked.catch(() => undefined);
  const late = new AbortController();
  const patience = sleep(PATIENCE_MS, undefined, { signal: late.signal });
  try {
    return await Promise.race([asked, patience]);
  } finally {
    patience.catch(() => undefined);
    late.abort();
  }
}

function countersOf(source: KernelFlowSource): MeterCounters | undefined {
  try {
    return source.counters();
  } catch {
    return undefined;
  }
}

function interfaceStates(source: KernelFlowSource): InterfaceState[] {
  const metered = source.metered();
  const names = new Set('interfaces' in metered ? metered.interfaces : []);
  return source
    .interfaces()
    .map((each) => ({ ...each, isMetered: names.has(each.name) }))
    .sort((a, b) => a.index - b.index);
}
