// The exporting process for one collector: what the encoder makes of the flow records of each sweep is
// handed to the delivery, which sends it in its own time.
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowRecordBatch } from '../flow/flow-source.js';
import { NO_SAMPLING } from '../flow/sampling.js';
import { flowTemplates } from '../templates/flow-template.js';
import { OPTIONS_KINDS } from '../templates/options-templates.js';
import { createApplicationNames, withApplicationNames } from './options/application-names.js';
import { Delivery } from './delivery/delivery.js';
import { ExportBacklog } from './delivery/export-backlog.js';
import { ExportCounters, type ExportStatistics } from './export-counters.js';
import { ExportError } from './export-error.js';
import {
  DEFAULT_BACKLOG_OCTETS,
  DEFAULT_OPTIONS_PERIOD_MS,
  checkOptions,
  type ExportingProcessOptions,
} from './export-options.js';
import type { MessageQueue, OpenQueue } from './durable/message-queue.js';
import { fingerprint, leastMessageOctets, planExport, type ExportPlan } from './export-plan.js';
import { FlowEncoder } from './records/flow-encoder.js';
import type { PackedMessage } from './messages/message-packer.js';
import type { MessageTransport } from './delivery/message-transport.js';
import { createOptions } from './options/options-records.js';
import { DEFAULT_MESSAGES_PER_SECOND, createPacer } from './delivery/pacer.js';
import { TransportSession, type ControlMessages } from './delivery/transport-session.js';
import { UptimeClock } from './delivery/uptime-clock.js';

/** How long the end waits for a collector that takes nothing. */
const CLOSE_PATIENCE_MS = 3000;
/** And for one that takes it slowly. */
const MOST_CLOSE_MS = 10_000;
const NOTHING = { records: 0, packets: 0, octets: 0 };
const UNREADABLE = 'the last run left messages that cannot be sent any more';
const KILLED = 'the last run was killed while they waited for their reverse';

export interface ExportingProcess extends FlowSink {
  /** Rejects with an ExportError. */
  open(): Promise<void>;
  /** Resolves when everything has arrived, nothing moves for `patienceMs`, or `mostMs` are over. */
  drain(patienceMs: number, mostMs?: number): Promise<void>;
  statistics(): ExportStatistics;
  /** Sends templates and options before anything else; says whether it does. */
  resendTemplates(): TemplateResending;
  /** Looks up now where the collector is. */
  refresh(): void;
  /** The batch of flow records that was written last counts: what was made of it may be sent. */
  letGo(): void;
  /** Ends at once: what has not been sent is lost, and close() waits for nothing. */
  abandon(): void;
}

/** Or why not: they are sent once in a session that loses nothing, or the format has none. */
export type TemplateResending = 'now' | 'once a session' | 'no templates';

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
  readonly #kept: OpenQueue | undefined;
  readonly #queue: MessageQueue | undefined;
  readonly #encoder: FlowEncoder;
  readonly #counters = new ExportCounters();
  readonly #uptime: UptimeClock;
  readonly #session: TransportSession;
  readonly #delivery: Delivery;
  #isOpen = false;
  #isInSweep = false;
  #isAbandoned = false;
  readonly #hasTemplates: boolean;
  readonly #hasUntoldLosses: () => boolean;

  constructor(options: ExportingProcessOptions, transport: MessageTransport) {
    const { version, maxMessageOctets } = options;
    this.#transport = transport;
    const templates = flowTemplates(version, options.templates);
    checkOptions(options, leastMessageOctets(version, templates), transport.isReliable);
    const plan = planExport(version, templates, maxMessageOctets);
    this.#kept = options.openQueue?.(fingerprint(plan));
    this.#queue = this.#kept?.queue;
    for (const message of this.#queue?.left ?? []) this.#counters.takeOver(message);
    this.#counters.loseRecords(this.#queue?.leftWaiting ?? NOTHING, KILLED);
    this.#counters.loseRecords(this.#kept?.lost ?? NOTHING, UNREADABLE);
    const names = createApplicationNames(version, options.templates, maxMessageOctets);
    this.#hasTemplates = plan.templateFormat !== undefined;
    this.#encoder = new FlowEncoder(plan, options, names);
    this.#uptime = new UptimeClock(options.clock);
    const control = controlMessages(plan, options, () => this.statistics());
    this.#hasUntoldLosses = control.hasUntoldLosses;
    this.#session = new TransportSession({
      format: plan.format,
      observationDomainId: options.observationDomainId,
      // Once a session is enough where nothing is lost in it.
      templateRefreshMs: transport.isReliable ? Infinity : options.templateRefreshMs,
      templateRefreshMessages: transport.isReliable
        ? Infinity
        : (options.templateRefreshMessages ?? Infinity),
      optionsPeriodMs: options.optionsPeriodMs ?? DEFAULT_OPTIONS_PERIOD_MS,
      sampling: options.status?.sampling ?? NO_SAMPLING,
      control: withApplicationNames(control, names),
      clock: options.clock,
      uptime: this.#uptime,
      sequenceNumber: this.#queue?.sequence ?? 0,
    });
    const { messagesPerSecond = DEFAULT_MESSAGES_PER_SECOND } = options;
    this.#delivery = new Delivery({
      backlog: new ExportBacklog(options.backlogOctets ?? DEFAULT_BACKLOG_OCTETS, this.#queue),
      transport,
      session: this.#session,
      counters: this.#counters,
      isPatient: options.isPatient ?? false,
      isPaceAsked: options.messagesPerSecond !== undefined,
      paceMs: transport.isReliable ? 0 : 1000 / messagesPerSecond,
      pacer: transport.isReliable
        ? undefined
        : createPacer({
            messagesPerSecond,
            nowMs: () => performance.now(),
          }),
    });
  }

  async open(): Promise<void> {
    await this.#transport.open();
    this.#isOpen = true;
  }

  async write(batch: FlowRecordBatch): Promise<void> {
    this.#beginSweep();
    await this.#deliver(this.#encoder.encode(batch));
    if (this.#queue === undefined) return;
    // A batch counts as a whole: no message may have records of two.
    await this.#deliver(this.#encoder.finishMessage());
    this.#queue.noteWaiting(this.#encoder.waiting());
  }

  async flush(): Promise<void> {
    await this.#flush('due');
  }

  async #flush(scope: 'due' | 'all'): Promise<void> {
    this.#beginSweep();
    await this.#deliver(this.#encoder.finish(scope));
    this.#queue?.noteWaiting(this.#encoder.waiting());
    this.#isInSweep = false;
    this.#delivery.wake();
  }

  drain(patienceMs: number, mostMs?: number): Promise<void> {
    return this.#delivery.drain(patienceMs, mostMs);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) {
      this.#kept?.close();
      return;
    }
    try {
      // A session that could not begin has nothing to say, no templates either.
      if (this.#delivery.isStarted) {
        await this.#flush('all');
        if (!this.#isAbandoned) await this.#drainToTheEnd();
      }
    } finally {
      this.#isOpen = false;
      await this.#delivery.stop();
      this.#kept?.close();
    }
  }

  /** What was lost is told last, when no more can be. */
  async #drainToTheEnd(): Promise<void> {
    await this.#delivery.drain(CLOSE_PATIENCE_MS, MOST_CLOSE_MS);
    // Where templates are still due, nobody listens.
    if (this.#session.isControlDue || !this.#hasUntoldLosses()) return;
    this.#session.expireOptions();
    this.#delivery.wake();
    await this.#delivery.drain(CLOSE_PATIENCE_MS, CLOSE_PATIENCE_MS);
  }

  statistics(): ExportStatistics {
    this.#delivery.noteArrivals();
    const refusals = this.#transport.refusals();
    return Object.assign({ refusals, ...this.#encoder.counts() }, this.#counters);
  }

  resendTemplates(): TemplateResending {
    if (!this.#hasTemplates) return 'no templates';
    if (this.#transport.isReliable) return 'once a session';
    this.#session.expireTemplates();
    this.#delivery.wake();
    return 'now';
  }

  refresh(): void {
    this.#transport.refresh?.();
  }

  letGo(): void {
    this.#delivery.letGo();
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.#delivery.abandon();
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
    this.#delivery.beginSweep();
    if (this.#uptime.compare()) this.#session.expireTemplates();
    this.#encoder.beginSweep(this.#uptime);
  }

  async #deliver(messages: Iterable<PackedMessage>): Promise<void> {
    const times = this.#uptime.times();
    for (const { bytes, memory, dataRecords, packetCount, octetCount } of messages) {
      const sums = { packets: packetCount, octets: octetCount };
      const taken = this.#delivery.offer({
        ...{ bytes, memory, templateRecords: 0, dataRecords, ...sums, times },
      });
      // Usually there is room: a promise for each message would take longer than the message.
      if (taken !== undefined) await taken;
    }
  }
}

/** Options only where there is a metering process to tell of. */
function controlMessages(
  { templateFormat, templates, templateMessages }: ExportPlan,
  { status, optionsKinds, maxMessageOctets, observationDomainId }: ExportingProcessOptions,
  exporting: () => ExportStatistics,
): ControlMessages & { readonly hasUntoldLosses: () => boolean } {
  const templatesOnly = {
    templates: () => templateMessages,
    options: () => [],
    hasUntoldLosses: () => false,
  };
  if (status === undefined || templateFormat === undefined) return templatesOnly;
  const kinds = optionsKinds ?? OPTIONS_KINDS;
  const options = createOptions({
    format: templateFormat,
    flowTemplates: templates,
    kinds,
    sampling: status.sampling,
    maxMessageOctets,
    observationDomainId,
    exportingProcessId: process.pid,
  });
  // Both only grow.
  const losses = (): number => status.losses().packets + exporting().lostRecords;
  let told = 0;
  return {
    templates: () => [...templateMessages, ...options.templateMessages],
    options: () => {
      told = losses();
      return options.dataMessages({ status, exporting });
    },
    hasUntoldLosses: () => kinds.has('reliability') && losses() > told,
  };
}
