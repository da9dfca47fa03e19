// Flow records in, messages full of data records out: joins directions where biflows are wanted,
// chooses the plan of each record, and packs.
import { nsToMs, type KernelClock } from '../../flow/clock.js';
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import type { FlowRecordBatch } from '../../flow/flow-source.js';
import { BIFLOW_ENTRY } from '../../templates/biflow-entry.js';
import type { ApplicationNames } from '../options/application-names.js';
import { BiflowPairing } from '../biflows/biflow-pairing.js';
import { createEncodingContext, type EncodingContext } from './data-record.js';
import {
  DEFAULT_BIFLOW_RECORDS,
  DEFAULT_BIFLOW_WINDOW_MS,
  type ExportingProcessOptions,
} from '../export-options.js';
import type { RecordSums } from '../export-counters.js';
import type { ExportPlan } from '../export-plan.js';
import { MessagePacker, type PackedMessage } from '../messages/message-packer.js';
import type { RecordPlan } from './record-plan.js';
import { fitsWords, splitCounters } from './saturated-counters.js';
import type { UptimeClock } from '../delivery/uptime-clock.js';

export class FlowEncoder {
  readonly #plan: ExportPlan;
  readonly #clock: KernelClock;
  readonly #names: ApplicationNames | undefined;
  readonly #context: EncodingContext;
  readonly #packer: MessagePacker;
  readonly #pairing: BiflowPairing | undefined;
  #notExportable = 0;

  /** @param names where records refer to applications by an id */
  constructor(
    plan: ExportPlan,
    options: ExportingProcessOptions,
    names: ApplicationNames | undefined,
  ) {
    const { directory, nonProcessNames, maxMessageOctets, clock, interfaceNumber } = options;
    this.#plan = plan;
    this.#clock = clock;
    this.#names = names;
    this.#context = createEncodingContext(directory, nonProcessNames, names, interfaceNumber);
    this.#packer = new MessagePacker(plan.format, plan.plans, maxMessageOctets, this.#context);
    this.#pairing = options.templates?.isBiflow === true ? createPairing(options) : undefined;
  }

  /** All times until the next call are by these clocks. */
  beginSweep(uptime: UptimeClock): void {
    this.#context.times = uptime.times();
    this.#names?.beginSweep(nsToMs(this.#clock.bootNs()));
  }

  /** The messages that are full. */
  *encode(batch: FlowRecordBatch): Generator<PackedMessage> {
    if (this.#pairing === undefined) yield* this.#encode(batch, FLOW_RECORD.size);
    else yield* this.#encode(this.#pairing.add(batch), BIFLOW_ENTRY.size);
  }

  /** The message that was begun. @param scope which of the records go that wait for their reverse */
  *finish(scope: 'due' | 'all'): Generator<PackedMessage> {
    if (this.#pairing !== undefined) {
      for (let due = this.#pairing.take(scope); due.count > 0; due = this.#pairing.take(scope)) {
        yield* this.#encode(due, BIFLOW_ENTRY.size);
      }
    }
    yield* this.finishMessage();
  }

  /** The message that was begun, and no record that waits. */
  *finishMessage(): Generator<PackedMessage> {
    const message = this.#packer.finish();
    if (message !== undefined) yield message;
  }

  /** What waits for its reverse. */
  waiting(): RecordSums {
    return this.#pairing?.sums() ?? { records: 0, packets: 0, octets: 0 };
  }

  counts() {
    const { truncatedFields, clampedTimes } = this.#context;
    const { biflows = 0, crowdedOutRecords = 0 } = this.#pairing ?? {};
    const notExportable = this.#notExportable;
    return { truncatedFields, clampedTimes, biflows, crowdedOutRecords, notExportable };
  }

  /** @param size of what stands in the batch: flow records or, with biflows, entries of them */
  *#encode(batch: FlowRecordBatch, size: number): Generator<PackedMessage> {
    const { hasWordCounters } = this.#plan;
    this.#context.parts.forget();
    let encoded = 0;
    // One template after the other: each change of it costs a set header.
    for (const plan of this.#plan.plans) {
      for (let i = 0; i < batch.count; i++) {
        const offset = i * size;
        if (!isFor(plan, batch.bytes, offset, size)) continue;
        encoded++;
        if (hasWordCounters && !fitsWords(batch.bytes, offset)) {
          yield* this.#appendParts(plan, batch.bytes, offset);
          continue;
        }
        // Without another generator: this is run for each record.
        const message = this.#packer.append(plan, batch.bytes, offset);
        if (message !== undefined) yield message;
      }
    }
    this.#notExportable += batch.count - encoded;
  }

  *#appendParts(plan: RecordPlan, bytes: Buffer, offset: number): Generator<PackedMessage> {
    for (const part of splitCounters(bytes, offset)) {
      const message = this.#packer.append(plan, part, 0);
      if (message !== undefined) yield message;
    }
  }
}

/** Whether the plan's template is the one for what stands there. */
function isFor({ template }: RecordPlan, bytes: Buffer, offset: number, size: number): boolean {
  const ipVersion = template.family === 'ipv4' ? 4 : 6;
  if (bytes[offset + FLOW_RECORD.fields.ip_version.offset] !== ipVersion) return false;
  if (size !== BIFLOW_ENTRY.size) return true;
  return (bytes[offset + BIFLOW_ENTRY.hasReverse] === 1) === template.hasReverse;
}

function createPairing({
  biflowWindowMs: windowMs = DEFAULT_BIFLOW_WINDOW_MS,
  biflowRecords: maxRecords = DEFAULT_BIFLOW_RECORDS,
  clock,
}: ExportingProcessOptions): BiflowPairing {
  return new BiflowPairing({ windowMs, maxRecords, nowMs: () => nsToMs(clock.bootNs()) });
}
