// Counts how the processes of flows were found, for the summary of a session.
import { ATTRIBUTION_METHOD, UNKNOWN_REASON } from '../flow/flow-contract.gen.js';
import type { FlowRecord, FlowSide } from '../flow/flow-record.js';

type MethodName = keyof typeof ATTRIBUTION_METHOD;
type ReasonName = keyof typeof UNKNOWN_REASON;

export interface AttributionSummary {
  /**
   * By how the process was found; those that occurred. A flow counts once for each of its sides
   * that is on this host: twice on loopback.
   */
  readonly methods: Readonly<Partial<Record<MethodName, MethodCount>>>;
  /** Packets without a process, by why. */
  readonly unknownPackets: Readonly<Partial<Record<ReasonName, number>>>;
}

export interface MethodCount {
  readonly packets: number;
  readonly records: number;
}

/** Methods and reasons are single octets in the record. */
const VALUES = 256;

export class AttributionCount {
  readonly #packets = new Float64Array(VALUES);
  readonly #records = new Float64Array(VALUES);
  readonly #unknownPackets = new Float64Array(VALUES);

  add(record: FlowRecord): void {
    this.#addSide(record, 'source');
    this.#addSide(record, 'destination');
  }

  #addSide(record: FlowRecord, side: FlowSide): void {
    if (!record.isLocal(side)) return;
    const { packets } = record;
    const method = record.attributionMethod(side);
    add(this.#packets, method, packets);
    add(this.#records, method, 1);
    if (method === ATTRIBUTION_METHOD.ATTRIBUTION_UNKNOWN) {
      add(this.#unknownPackets, record.unknownReason(side), packets);
    }
  }

  summary(): AttributionSummary {
    const methods: Partial<Record<MethodName, MethodCount>> = {};
    for (const [name, value] of Object.entries(ATTRIBUTION_METHOD)) {
      const records = this.#records[value] ?? 0;
      const packets = this.#packets[value] ?? 0;
      if (records > 0) methods[name as MethodName] = { packets, records };
    }
    const unknownPackets: Partial<Record<ReasonName, number>> = {};
    for (const [name, value] of Object.entries(UNKNOWN_REASON)) {
      const packets = this.#unknownPackets[value] ?? 0;
      if (packets > 0) unknownPackets[name as ReasonName] = packets;
    }
    return { methods, unknownPackets };
  }
}

function add(sums: Float64Array, at: number, value: number): void {
  sums[at] = (sums[at] ?? 0) + value;
}
