// Where flow records come from. The kernel's flow cache is one source; a capture file, another
// exporter or a test are others. src/exporter and src/cli see only this interface.
import type { METER_COUNTER } from './flow-contract.gen.js';

/** Whole flow records (layout FLOW_RECORD) one after the other. */
export interface FlowRecordBatch {
  /** Valid until the next batch is asked for: the source reuses the memory. */
  readonly bytes: Buffer;
  /** Number of records in `bytes`. */
  readonly count: number;
}

/** Without the enumeration's last entry, which is their number. */
export type MeterCounter = Exclude<keyof typeof METER_COUNTER, 'METER_COUNTERS'>;

/** The kernel's counters by name; all only grow. */
export type MeterCounters = Readonly<Record<MeterCounter, number>>;

/** What a sweep expires: flows past a timeout, or every flow (flowEndReason "forced end"). */
export type SweepScope = 'expired' | 'all';

export interface FlowSource {
  /** One pass over the flow cache. */
  sweep(scope: SweepScope): AsyncIterable<FlowRecordBatch>;
  counters(): MeterCounters;
  /** Whether there are more flows than there should be: the next sweep should not wait. */
  isCrowded?(): boolean;
  /** No packet is counted after this; the flows stay until they are swept. */
  stop(): void;
  /** Detaches and releases everything. Flows that were not swept are lost: sweep 'all' first. */
  close(): void;
}
