// What a running session can be asked and told, by the control socket above all.
import type { BootEpoch } from '../../flow/clock.js';
import type { FlowRecordBatch, MeterCounters } from '../../flow/flow-source.js';
import type { FlowTimeouts } from '../../flow/flow-timeouts.js';
import type { MeteredInterface } from '../../flow/metering-status.js';
import type { NonProcessNames } from '../../flow/non-process-names.js';
import type { ProcessDirectory } from '../../flow/process-directory.js';
import type { FlowStatisticsSummary } from '../flow-statistics.js';
import type { CollectorStatistics, CollectorTemplates } from '../open-exporters.js';
import type { RecordTotals } from '../record-counts.js';
import type { ProcessTraffic } from './process-traffic.js';

export interface MeterControl {
  readonly statistics: () => SessionStatistics;
  readonly timeouts: () => SessionTimeouts;
  /**
   * Every flow leaves the cache and is exported; metering goes on. Resolves to the number of records;
   * undefined where that takes long, because collectors do: it is done then without more words.
   */
  readonly expireAll: () => Promise<number | undefined>;
  /** Every flow leaves the cache and is dropped; undefined as above. */
  readonly deleteAll: () => Promise<RecordTotals | undefined>;
  /** What is in the cache now, in an order of the kernel's. */
  readonly flows: () => FlowsNow;
  /** No packet is metered until startGather(); flows and timeouts go on. */
  readonly stopGather: () => void;
  /** @throws BpfError when the programs cannot be attached again; Error when the session is ending */
  readonly startGather: () => void;
  readonly sendTemplates: () => readonly CollectorTemplates[];
  /** @returns the level that is set now */
  readonly changeDebugLevel: (step: 1 | -1) => number;
  /** The session ends in good order. */
  readonly shutdown: () => void;
  /** The session ends at once: what is in the cache is lost. */
  readonly exit: () => void;
  readonly interfaces: () => readonly InterfaceState[];
  /** Those with most octets in the cache. */
  readonly topProcesses: (count: number) => Promise<readonly ProcessTraffic[]>;
  readonly reload: () => Reloaded;
}

export interface SessionStatistics {
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly activeFlows: number;
  readonly isGathering: boolean;
  /** Of flows that were exported. */
  readonly flows: FlowStatisticsSummary;
  readonly deleted: RecordTotals;
  readonly recordsNotWritten: number;
  /** Undefined where the kernel could not be asked. */
  readonly counters: MeterCounters | undefined;
  readonly collectors: readonly CollectorStatistics[];
}

export interface SessionTimeouts {
  readonly timeouts: FlowTimeouts;
  readonly sweepIntervalMs: number;
}

export interface FlowsNow extends SessionTimeouts {
  readonly batches: AsyncIterable<FlowRecordBatch>;
  readonly bootEpoch: BootEpoch;
  /** CLOCK_BOOTTIME in milliseconds. */
  readonly bootMs: number;
  readonly directory: ProcessDirectory;
  readonly nonProcessNames: NonProcessNames;
}

export interface InterfaceState extends MeteredInterface {
  readonly isMetered: boolean;
}

export interface Reloaded {
  /** Of collectors whose names are looked up again. */
  readonly destinations: readonly string[];
  readonly templates: readonly CollectorTemplates[];
}
