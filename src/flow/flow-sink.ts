// Where flow records go: a collector, the terminal. One sweep is write* then flush.
import type { FlowRecordBatch } from './flow-source.js';

export interface FlowSink {
  /** Takes every record of the batch before it resolves; the batch's memory is reused after. */
  write(batch: FlowRecordBatch): Promise<void>;
  /** End of a sweep: what is still held back goes out now. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
