// The processes of a biflow: those of its forward flow record, and where that lacks one, the process
// that the reverse record has at the same end of the connection.
import {
  ATTRIBUTION_METHOD,
  FLOW_RECORD,
  OWNER_FLAG,
  PROCESS_OWNER,
  UNKNOWN_REASON,
} from '../../flow/flow-contract.gen.js';
import { FlowRecord, type FlowSide } from '../../flow/flow-record.js';
import { BIFLOW_ENTRY } from '../../templates/biflow-entry.js';

const OWNER = PROCESS_OWNER.fields;
/** Not known because there are several to choose from: neither is the reverse's one for certain. */
const AMBIGUOUS_REASONS: ReadonlySet<number> = new Set([
  UNKNOWN_REASON.REASON_SHARED,
  UNKNOWN_REASON.REASON_FRAGMENT,
]);
/** Facts: from a conclusion no further one is drawn. */
const CERTAIN_METHODS: ReadonlySet<number> = new Set([
  ATTRIBUTION_METHOD.ATTRIBUTION_SOCKET,
  ATTRIBUTION_METHOD.ATTRIBUTION_SNAPSHOT,
]);

export class BiflowOwners {
  readonly #forward = new FlowRecord();
  readonly #reverse = new FlowRecord();

  /** @param at where an entry (layout BIFLOW_ENTRY) with both directions begins */
  complete(entry: Buffer, at: number): void {
    this.#forward.at(entry, at);
    this.#reverse.at(entry, at + BIFLOW_ENTRY.reverse);
    this.#completeSide('source', 'destination');
    this.#completeSide('destination', 'source');
  }

  #completeSide(side: FlowSide, reverseSide: FlowSide): void {
    const [forward, reverse] = [this.#forward, this.#reverse];
    if (forward.hasProcess(side) || !forward.isLocal(side)) return;
    // "(kernel)" and "(forwarded)" are known.
    if (forward.attributionMethod(side) !== ATTRIBUTION_METHOD.ATTRIBUTION_UNKNOWN) return;
    if (AMBIGUOUS_REASONS.has(forward.unknownReason(side))) return;
    if (!reverse.hasProcess(reverseSide)) return;
    if (!CERTAIN_METHODS.has(reverse.attributionMethod(reverseSide))) return;
    const from = reverse.offset + FLOW_RECORD.fields[reverseSide].offset;
    const flags = reverse.bytes[from + OWNER.flags.offset] ?? 0;
    if ((flags & OWNER_FLAG.OWNER_SHARED) !== 0) return;
    const to = forward.offset + FLOW_RECORD.fields[side].offset;
    reverse.bytes.copy(forward.bytes, to, from, from + PROCESS_OWNER.size);
    forward.bytes[to + OWNER.method.offset] = ATTRIBUTION_METHOD.ATTRIBUTION_REVERSE_FLOW;
  }
}
