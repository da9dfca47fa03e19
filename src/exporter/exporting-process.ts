// The exporting process for one collector: takes the flow records of each sweep, encodes them in one
// format, and hands full messages to the delivery, which sends them in its own time.
import { nsToMs, type KernelClock } from '../flow/clock.js';
import { FLOW_RECORD } from '../flow/flow-contract.gen.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowRecordBatch } from '../flow/flow-source.js';
import type { MeteringStatus } from '../flow/metering-status.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import { NO_SAMPLING } from '../flow/sampling.js';
import { BIFLOW_ENTRY } from '../templates/biflow-entry.js';
import { OPTIONS_KINDS, type OptionsKind } from '../templates/options-templates.js';
import { flowTemplates } from '../templates/flow-template.js';
import type { ExportVersion, TemplateOptions } from '../templates/flow-template.js';
import {
  createApplicationNames,
  withApplicationNames,
  type ApplicationNames,
} from './application-names.js';
import { BiflowPairing } from './biflow-pairing.js';
import { createEncodingContext, setBootEpoch, type EncodingContext } from './data-record.js';
import { Delivery } from './delivery.js';
import { ExportBacklog } from './export-backlog.js';
import { ExportCounters, type ExportStatistics } from './export-counters.js';
import { ExportError } from './export-error.js';
import { leastMessageOctets, planExport, type ExportPlan } from './export-plan.js';
import { MessagePacker, type PackedMessage } from './message-packer.js';
import type { MessageTransport } from './message-transport.js';
import { createOptions } from './options-records.js';
import { DEFAULT_BURST_MESSAGES, DEFAULT_MESSAGES_PER_SECOND, createPacer } from './pacer.js';
import { fitsWords, splitCounters } from './saturated-counters.js';
import { TransportSession, type ControlMessages } from './transport-session.js';
import { UptimeClock } from './uptime-clock.js';

export interface ExportingProcessOptions {
  readonly version: ExportVersion;
  /** Which elements, and how; what is left out has its default. */
  readonly templates?: Partial<TemplateOptions>;
  /** Two exporters on one host need two: collectors tell them apart by it (v9: source id). */
  readonly observationDomainId: number;
  /** Over UDP a collector may miss templates, or start after the exporter. */
  readonly templateRefreshMs: number;
  /** The same in messages; not by messages when left out. */
  readonly templateRefreshMessages?: number;
  /** What is told of the metering process; all of it when left out, nothing without `status`. */
  readonly optionsKinds?: ReadonlySet<OptionsKind>;
  /** How often. */
  readonly optionsPeriodMs?: number;
  readonly maxMessageOctets: number;
  /** Over UDP only: the others say themselves when they are full. */
  readonly messagesPerSecond?: number;
  /** Messages that wait for a collector. */
  readonly backlogOctets?: number;
  /** With biflows: how long a record waits for its reverse, and how many may. */
  readonly biflowWindowMs?: number;
  readonly biflowRecords?: number;
  readonly clock: KernelClock;
  readonly directory: ProcessDirectory;
  readonly status?: MeteringStatus;
  /** "(kernel)" and the like, unless they are given. */
  readonly nonProcessNames?: NonProcessNames;
}

/**
 * 1372 and the headers of IPv6 and UDP make 1420, the MTU of WireGuard; VXLAN, GRE, PPPoE and
 * Ethernet have more. A fragmented message is lost with any of its fragments.
 */
export const DEFAULT_MAX_MESSAGE_OCTETS = 1372;
export const DEFAULT_BACKLOG_OCTETS = 16 * 2 ** 20;
export const DEFAULT_OPTIONS_PERIOD_MS = 600_000;
/** Two sweeps, of a second at most, and a little: the directions of a connection rarely end in one. */
export const DEFAULT_BIFLOW_WINDOW_MS = 2500;
export const DEFAULT_BIFLOW_RECORDS = 65_536;
/** RFC 7011 §3.1: the length field has 16 bits. */
const LONGEST_MESSAGE_OCTETS = 65535;
/** UDP over IPv4 takes 28 less than that. */
const LONGEST_DATAGRAM_OCTETS = 65507;
const WORD = 2 ** 32;
/** How long the end waits for a collector that takes nothing. */
const CLOSE_PATIENCE_MS = 3000;

export interface ExportingProcess extends FlowSink {
  /** Rejects with an ExportError. */
  open(): Promise<void>;
  /** Resolves when everything has arrived, or nothing moves for `patienceMs`. */
  drain(patienceMs: number): Promise<void>;
  statistics(): ExportStatistics;
}

/**
 * Throws an ExportError for options that cannot be met. Sending never throws: what fails is
 * counted.
 */
export function createExportingProcess(
  options: ExportingProcessOptions,
  transport: MessageTransport,
): ExportingProcess {
  return new Exporter(options, transport);
}

class Exporter implements ExportingProcess {
  readonly #transport: MessageTransport;
  readonly #clock: KernelClock;
  readonly #plan: ExportPlan;
  readonly #applicationNames: ApplicationNames | undefined;
  readonly #context: EncodingContext;
  readonly #packer: MessagePacker;
  readonly #pairing: BiflowPairing | undefined;
  readonly #counters = new ExportCounters();
  readonly #uptime: UptimeClock;
  readonly #session: TransportSession;
  readonly #delivery: Delivery;
  #isOpen = false;
  #isInSweep = false;

  constructor(options: ExportingProcessOptions, transport: MessageTransport) {
    const { version, directory, nonProcessNames, maxMessageOctets, clock } = options;
    this.#transport = transport;
    this.#clock = clock;
    const templates = flowTemplates(version, options.templates);
    checkOptions(options, leastMessageOctets(version, templates), transport);
    this.#plan = planExport(version, templates, maxMessageOctets);
    const { format, plans } = this.#plan;
    const names = createApplicationNames(version, options.templates, maxMessageOctets);
    this.#applicationNames = names;
    this.#context = createEncodingContext(directory, nonProcessNames, names);
    this.#packer = new MessagePacker(format, plans, maxMessageOctets, this.#context);
    this.#pairing = options.templates?.isBiflow === true ? createPairing(options) : undefined;
    this.#uptime = new UptimeClock(clock);
    const { templateRefreshMs, templateRefreshMessages = Infinity } = options;
    this.#session = new TransportSession({
      format,
      observationDomainId: options.observationDomainId,
      templateRefreshMs: transport.isReliable ? Infinity : templateRefreshMs,
      templateRefreshMessages: transport.isReliable ? Infinity : templateRefreshMessages,
      optionsPeriodMs: options.optionsPeriodMs ?? DEFAULT_OPTIONS_PERIOD_MS,
      sampling: options.status?.sampling ?? NO_SAMPLING,
      control: withApplicationNames(this.#control(options), names),
      clock,
      uptime: this.#uptime,
    });
    this.#delivery = new Delivery({
      backlog: new ExportBacklog(options.backlogOctets ?? DEFAULT_BACKLOG_OCTETS),
      transport,
      session: this.#session,
      counters: this.#counters,
      pacer: transport.isReliable
        ? undefined
        : createPacer({
            messagesPerSecond: options.messagesPerSecond ?? DEFAULT_MESSAGES_PER_SECOND,
            burstMessages: DEFAULT_BURST_MESSAGES,
            nowMs: () => performance.now(),
          }),
    });
  }

  /** Options only where there is a metering process to tell of. */
  #control({ status, ...rest }: ExportingProcessOptions): ControlMessages {
    const { templateFormat, templates, templateMessages } = this.#plan;
    const templatesOnly = { templates: () => templateMessages, options: () => [] };
    if (status === undefined || templateFormat === undefined) return templatesOnly;
    const options = createOptions({
      format: templateFormat,
      flowTemplates: templates,
      kinds: rest.optionsKinds ?? OPTIONS_KINDS,
      sampling: status.sampling,
      maxMessageOctets: rest.maxMessageOctets,
      observationDomainId: rest.observationDomainId,
      exportingProcessId: process.pid,
    });
    const source = { status, exporting: () => this.statistics() };
    return {
      templates: () => [...templateMessages, ...options.templateMessages],
      options: () => options.dataMessages(source),
    };
  }

  async open(): Promise<void> {
    await this.#transport.open();
    this.#isOpen = true;
  }

  async write(batch: FlowRecordBatch): Promise<void> {
    this.#beginSweep();
    if (this.#pairing === undefined) await this.#export(batch, FLOW_RECORD.size);
    else await this.#export(this.#pairing.add(batch), BIFLOW_ENTRY.size);
  }

  /** @param size of what stands in the batch: flow records or, with biflows, entries of them */
  async #export(batch: FlowRecordBatch, size: number): Promise<void> {
    let exported = 0;
    // One family after the other: each change of template costs a set header.
    for (const plan of this.#plan.plans) {
      const ipVersion = plan.template.family === 'ipv4' ? 4 : 6;
      const hasReverse = plan.template.hasReverse ? 1 : 0;
      for (let i = 0; i < batch.count; i++) {
        const offset = i * size;
        if (batch.bytes[offset + FLOW_RECORD.fields.ip_version.offset] !== ipVersion) continue;
        const isEntry = size === BIFLOW_ENTRY.size;
        if (isEntry && batch.bytes[offset + BIFLOW_ENTRY.hasReverse] !== hasReverse) continue;
        exported++;
        if (this.#plan.hasWordCounters && !fitsWords(batch.bytes, offset)) {
          for (const part of splitCounters(batch.bytes, offset)) {
            await this.#offer(this.#packer.append(plan, part, 0));
          }
        } else {
          const message = this.#packer.append(plan, batch.bytes, offset);
          if (message !== undefined) await this.#offer(message);
        }
      }
    }
    this.#counters.notExportable += batch.count - exported;
  }

  async flush(): Promise<void> {
    await this.#flush('due');
  }

  /** @param scope which of the records go that wait for their reverse */
  async #flush(scope: 'due' | 'all'): Promise<void> {
    this.#beginSweep();
    if (this.#pairing !== undefined) {
      for (let due = this.#pairing.take(scope); due.count > 0; due = this.#pairing.take(scope)) {
        await this.#export(due, BIFLOW_ENTRY.size);
      }
    }
    await this.#offer(this.#packer.finish());
    this.#isInSweep = false;
    this.#delivery.wake();
  }

  drain(patienceMs: number): Promise<void> {
    return this.#delivery.drain(patienceMs);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    try {
      // A session that could not begin has nothing to say, no templates either.
      if (this.#delivery.isStarted) {
        await this.#flush('all');
        await this.#delivery.drain(CLOSE_PATIENCE_MS);
      }
    } finally {
      this.#isOpen = false;
      await this.#delivery.stop();
    }
  }

  statistics(): ExportStatistics {
    this.#delivery.noteArrivals();
    const { truncatedFields, clampedTimes } = this.#context;
    const refusals = this.#transport.refusals();
    const { biflows = 0, crowdedOutRecords = 0 } = this.#pairing ?? {};
    const counts = { refusals, truncatedFields, clampedTimes, biflows, crowdedOutRecords };
    return Object.assign(counts, this.#counters);
  }

  /** The clocks are compared once a sweep, so that all its times are on one scale. */
  #beginSweep(): void {
    if (!this.#isOpen) {
      const operation = `export to ${this.#transport.destination}`;
      throw new ExportError('not-open', operation, 'call open() first, and nothing after close()');
    }
    if (this.#isInSweep) return;
    this.#isInSweep = true;
    this.#delivery.start();
    if (this.#uptime.compare()) this.#session.expireTemplates();
    setBootEpoch(this.#context, this.#uptime.bootEpochNs, this.#uptime.times());
    this.#applicationNames?.beginSweep(nsToMs(this.#clock.bootNs()));
  }

  async #offer(message: PackedMessage | undefined): Promise<void> {
    if (message === undefined) return;
    await this.#delivery.offer({
      // A copy: the packer goes on with its buffer.
      bytes: Buffer.from(message.bytes.subarray(0, message.octets)),
      templateRecords: 0,
      dataRecords: message.dataRecords,
      packets: message.packetCount,
      octets: message.octetCount,
      times: this.#uptime.times(),
    });
  }
}

function createPairing({
  biflowWindowMs: windowMs = DEFAULT_BIFLOW_WINDOW_MS,
  biflowRecords: maxRecords = DEFAULT_BIFLOW_RECORDS,
  clock,
}: ExportingProcessOptions): BiflowPairing {
  return new BiflowPairing({ windowMs, maxRecords, nowMs: () => nsToMs(clock.bootNs()) });
}

function checkOptions(
  options: ExportingProcessOptions,
  leastOctets: number,
  { isReliable }: MessageTransport,
): void {
  const check = (name: string, value: number | undefined, least: number, most: number): void => {
    if (value === undefined) return;
    if (Number.isInteger(value) && value >= least && value <= most) return;
    const reason = `must be a whole number from ${least} to ${most}`;
    throw new ExportError('bad-option', `set ${name} to ${value}`, reason);
  };
  const longest = isReliable ? LONGEST_MESSAGE_OCTETS : LONGEST_DATAGRAM_OCTETS;
  check('maxMessageOctets', options.maxMessageOctets, leastOctets, longest);
  check('observationDomainId', options.observationDomainId, 0, WORD - 1);
  check('templateRefreshMs', options.templateRefreshMs, 1000, WORD - 1);
  check('templateRefreshMessages', options.templateRefreshMessages, 1, WORD - 1);
  check('optionsPeriodMs', options.optionsPeriodMs, 1000, WORD - 1);
  check('messagesPerSecond', options.messagesPerSecond, 1, 1_000_000);
  check('biflowWindowMs', options.biflowWindowMs, 0, 3_600_000);
  check('biflowRecords', options.biflowRecords, 1, 2 ** 24);
  if (options.templates?.isBiflow === true && options.version !== 10) {
    const reason = 'only IPFIX has both directions in one record: choose version 10';
    throw new ExportError('bad-option', `export biflows in NetFlow v${options.version}`, reason);
  }
  check('backlogOctets', options.backlogOctets, 0, 2 ** 40);
}
