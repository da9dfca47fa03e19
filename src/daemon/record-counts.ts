// What the flow records of a session add up to.
import { FLOW_END_REASON, FLOW_RECORD } from '../flow/flow-contract.gen.js';
import { FlowRecord } from '../flow/flow-record.js';
import type { FlowRecordBatch } from '../flow/flow-source.js';
import { AttributionCount, type AttributionSummary } from './attribution-count.js';
import { FlowStatistics, type FlowStatisticsSummary } from './flow-statistics.js';

type EndReasonName = keyof typeof FLOW_END_REASON;
/** Those that occurred. */
export type EndReasons = Readonly<Partial<Record<EndReasonName, number>>>;

export interface RecordTotals {
  /** Flow records, and what they sum up to. */
  readonly records: number;
  readonly packets: number;
  readonly octets: number;
}

export class RecordCounts {
  readonly #view = new FlowRecord();
  /** By the reason, which is an octet. */
  readonly #endReasons = new Float64Array(256);
  readonly #attribution = new AttributionCount();
  readonly #statistics = new FlowStatistics();
  #records = 0;
  #packets = 0;
  #octets = 0;

  add(batch: FlowRecordBatch): void {
    this.#records += batch.count;
    for (let i = 0; i < batch.count; i++) {
      const record = this.#view.at(batch.bytes, i * FLOW_RECORD.size);
      this.#packets += record.packets;
      this.#octets += record.octets;
      this.#attribution.add(record);
      this.#statistics.add(record);
      const { endReason } = record;
      this.#endReasons[endReason] = (this.#endReasons[endReason] ?? 0) + 1;
    }
  }

  totals(): RecordTotals {
    return { records: this.#records, packets: this.#packets, octets: this.#octets };
  }

  endReasons(): EndReasons {
    const endReasons: Partial<Record<EndReasonName, number>> = {};
    for (const [name, value] of Object.entries(FLOW_END_REASON)) {
      const count = this.#endReasons[value] ?? 0;
      if (count > 0) endReasons[name as EndReasonName] = count;
    }
    return endReasons;
  }

  attribution(): AttributionSummary {
    return this.#attribution.summary();
  }

  statistics(): FlowStatisticsSummary {
    return this.#statistics.summary();
  }
}
