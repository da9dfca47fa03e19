// Flow records, a source and sinks without a kernel.
import { FLOW_END_REASON, FLOW_RECORD, METER_COUNTER } from '../../src/flow/flow-contract.gen.js';
import type { FlowSink } from '../../src/flow/flow-sink.js';
import type {
  FlowRecordBatch,
  FlowSource,
  MeterCounters,
  SweepScope,
} from '../../src/flow/flow-source.js';

const F = FLOW_RECORD.fields;

export interface FakeFlow {
  readonly packets: number;
  readonly octets: number;
  readonly endReason?: number;
}

export function batchOf(flows: readonly FakeFlow[]): FlowRecordBatch {
  const bytes = Buffer.alloc(flows.length * FLOW_RECORD.size);
  flows.forEach((flow, i) => {
    const at = i * FLOW_RECORD.size;
    bytes.writeBigUInt64LE(BigInt(flow.packets), at + F.packets.offset);
    bytes.writeBigUInt64LE(BigInt(flow.octets), at + F.octets.offset);
    const reason = flow.endReason ?? FLOW_END_REASON.FLOW_END_IDLE_TIMEOUT;
    bytes.writeUInt8(reason, at + F.end_reason.offset);
  });
  return { bytes, count: flows.length };
}

/** Gives one prepared list of batches a sweep, in order; then nothing more. */
export class FakeSource implements FlowSource {
  readonly log: string[];
  /** What the next sweeps give; a string is an error to throw. */
  readonly sweeps: (readonly FlowRecordBatch[] | string)[];
  /** What the counters say of flows that were created and not deleted. */
  flowsInCache = 0;
  /** Called before each batch is given. */
  beforeBatch: () => void = () => undefined;

  constructor(sweeps: (readonly FlowRecordBatch[] | string)[], log: string[] = []) {
    this.sweeps = sweeps;
    this.log = log;
  }

  async *sweep(scope: SweepScope): AsyncGenerator<FlowRecordBatch> {
    this.log.push(`sweep ${scope}`);
    const batches = this.sweeps.shift() ?? [];
    if (typeof batches === 'string') throw new Error(batches);
    for (const batch of batches) {
      this.beforeBatch();
      yield batch;
    }
  }

  counters(): MeterCounters {
    const counters = Object.fromEntries(Object.keys(METER_COUNTER).map((name) => [name, 0]));
    const FLOWS_CREATED = 5 + this.flowsInCache;
    return {
      ...(counters as MeterCounters),
      METERED_PACKETS: 23,
      FLOWS_CREATED,
      FLOWS_DELETED: 5,
    };
  }

  stop(): void {
    this.log.push('stop source');
  }

  close(): void {
    this.log.push('close source');
  }
}

export class FakeSink implements FlowSink {
  readonly name: string;
  readonly log: string[];
  records = 0;
  /** When set, every write fails with it. */
  writeError: string | undefined;

  constructor(name: string, log: string[]) {
    this.name = name;
    this.log = log;
  }

  async write(batch: FlowRecordBatch): Promise<void> {
    if (this.writeError !== undefined) throw new Error(this.writeError);
    this.log.push(`${this.name} write ${batch.count}`);
    this.records += batch.count;
  }

  async flush(): Promise<void> {
    this.log.push(`${this.name} flush`);
  }

  async close(): Promise<void> {
    this.log.push(`close ${this.name}`);
  }
}
