// How the two flow records of a connection are handed to the encoder: side by side, so that a field
// of the reverse one is read as any other field is, further on.
import { FLOW_RECORD } from '../flow/flow-contract.gen.js';

/** Offsets in an entry, which begins with the forward flow record. */
export const BIFLOW_ENTRY = {
  /** The reverse flow record; what stands there means nothing in an entry without one. */
  reverse: FLOW_RECORD.size,
  /** One octet: biflowDirection. */
  direction: 2 * FLOW_RECORD.size,
  /** One octet: 1 with a reverse flow record, 0 without. */
  hasReverse: 2 * FLOW_RECORD.size + 1,
  /** A multiple of eight. */
  size: 2 * FLOW_RECORD.size + 8,
} as const;
