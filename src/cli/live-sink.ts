// The flow sink of `procflow live`: a line for each record.
import type { FlowContext } from '../daemon/run-meter.js';
import type { BootEpoch } from '../flow/clock.js';
import { FLOW_RECORD } from '../flow/flow-contract.gen.js';
import { FlowRecord } from '../flow/flow-record.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowRecordBatch } from '../flow/flow-source.js';
import type { LineOutput } from './line-output.js';

/** @param bootEpoch as KernelClock gives it */
export type FormatLine = (record: FlowRecord, bootEpoch: BootEpoch) => string;

export class LiveSink implements FlowSink {
  readonly #output: LineOutput;
  readonly #clock: FlowContext['clock'];
  readonly #format: FormatLine;
  readonly #view = new FlowRecord();

  constructor(output: LineOutput, clock: FlowContext['clock'], format: FormatLine) {
    this.#output = output;
    this.#clock = clock;
    this.#format = format;
  }

  async write(batch: FlowRecordBatch): Promise<void> {
    if (this.#output.isClosed) return;
    const bootEpoch = this.#clock.bootEpoch();
    const lines: string[] = [];
    for (let i = 0; i < batch.count; i++) {
      lines.push(this.#format(this.#view.at(batch.bytes, i * FLOW_RECORD.size), bootEpoch));
    }
    await this.#output.write(lines);
  }

  async flush(): Promise<void> {
    // Every batch is written at once.
  }

  async close(): Promise<void> {
    // The stream is the program's, not ours.
  }
}
