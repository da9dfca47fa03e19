// The exporting process: takes the flow records of each sweep, and sends them and their templates
// to one collector, in one format.
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelClock } from '../flow/clock.js';
import { FLOW_RECORD } from '../flow/flow-contract.gen.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { FlowRecordBatch } from '../flow/flow-source.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import type { TemplateProfile } from '../templates/flow-fields.js';
import { flowTemplate } from '../templates/flow-template.js';
import type { ExportVersion, Template } from '../templates/flow-template.js';
import { ExportError } from './export-error.js';
import { IPFIX } from './ipfix.js';
import type { MessageFormat } from './message-format.js';
import { MessagePacker } from './message-packer.js';
import type { PackedMessage } from './message-packer.js';
import type { MessageTransport } from './message-transport.js';
import { NETFLOW_V9 } from './netflow-v9.js';
import { DEFAULT_BURST_MESSAGES, DEFAULT_MESSAGES_PER_SECOND, createPacer } from './pacer.js';
import type { Pacer } from './pacer.js';
import { compileRecordPlan, compileRecordPlans, createEncodingContext } from './record-plan.js';
import type { EncodingContext, RecordPlan } from './record-plan.js';
import { messageOctets, packTemplateMessages } from './template-message.js';
import type { TemplateMessage } from './template-message.js';
import { createUdpTransport } from './udp-transport.js';
import type { Endpoint, SourceAddress } from './udp-transport.js';

export interface ExportingProcessOptions {
  readonly version: ExportVersion;
  readonly collector: Endpoint;
  readonly source?: SourceAddress;
  /** Two exporters on one host need two: collectors tell them apart by it (v9: source id). */
  readonly observationDomainId: number;
  /** Over UDP a collector may miss templates, or start after the exporter. */
  readonly templateRefreshMs: number;
  readonly maxMessageOctets: number;
  /** `process` is the default. */
  readonly profile?: TemplateProfile;
  readonly messagesPerSecond?: number;
  readonly clock: KernelClock;
  readonly directory: ProcessDirectory;
  /** "(kernel)" and the like, unless they are given. */
  readonly nonProcessNames?: NonProcessNames;
}

/**
 * 1372 and the headers of IPv6 and UDP make 1420, the MTU of WireGuard; VXLAN, GRE, PPPoE and
 * Ethernet have more. A fragmented message is lost with any of its fragments.
 */
export const DEFAULT_MAX_MESSAGE_OCTETS = 1372;
/** RFC 7011 §3.1: the length field has 16 bits. UDP over IPv4 takes 28 less than that. */
const LONGEST_MESSAGE_OCTETS = 65507;
const IP_VERSIONS = { ipv4: 4, ipv6: 6 } as const;
const DAY_MS = 86_400_000;
const WORD = 2 ** 32;

/** All only grow. */
export interface ExportStatistics {
  /** Messages that were sent, those with templates too. */
  readonly messages: number;
  readonly octets: number;
  /** Data records in messages that were sent. */
  readonly records: number;
  /** Template records that were sent. */
  readonly templates: number;
  /** Messages that could not be sent. */
  readonly sendErrors: number;
  /** Data records in those messages. */
  readonly lostRecords: number;
  /** How often the collector was found not to listen. Each time one message was lost, which
   *  `messages` and `records` may include: the network reports it after the fact. */
  readonly refusals: number;
  /** Flow records that are neither IPv4 nor IPv6: not exported. */
  readonly unknownRecords: number;
  /** Names and command lines cut to the length of their field. */
  readonly truncatedFields: number;
  /** Times too early for v9's sysUptime, sent as 0. */
  readonly clampedTimes: number;
  /** The last failure in words; undefined without one. */
  readonly lastError: string | undefined;
}

export interface ExportingProcess extends FlowSink {
  /** Rejects with an ExportError. */
  open(): Promise<void>;
  statistics(): ExportStatistics;
}

/**
 * Throws an ExportError for options that cannot be met. Sending never throws: what fails is
 * counted. `transport` stands in for UDP in tests.
 */
export function createExportingProcess(
  options: ExportingProcessOptions,
  transport: MessageTransport = createUdpTransport(options.collector, options.source),
): ExportingProcess {
  return new Exporter(options, transport);
}

class Exporter implements ExportingProcess {
  readonly #options: ExportingProcessOptions;
  readonly #transport: MessageTransport;
  readonly #format: MessageFormat;
  readonly #templateMessages: readonly TemplateMessage[];
  readonly #plans: readonly RecordPlan[];
  readonly #context: EncodingContext;
  readonly #packer: MessagePacker;
  readonly #pacer: Pacer;
  #isOpen = false;
  #isInSweep = false;
  #sequenceNumber = 0;
  /** sysUptime zero on CLOCK_BOOTTIME. */
  #uptimeZeroBootMs = 0;
  #templatesSentMs = -Infinity;
  #refusalsSeen = 0;
  #messages = 0;
  #octets = 0;
  #records = 0;
  #templates = 0;
  #sendErrors = 0;
  #lostRecords = 0;
  #unknownRecords = 0;
  #lastError: string | undefined;

  constructor(options: ExportingProcessOptions, transport: MessageTransport) {
    const { version, profile, directory, nonProcessNames, maxMessageOctets } = options;
    this.#options = options;
    this.#transport = transport;
    this.#format = version === 9 ? NETFLOW_V9 : IPFIX;
    const families = ['ipv4', 'ipv6'] as const;
    const templates = families.map((family) => flowTemplate(version, family, profile));
    checkOptions(options, leastMessageOctets(this.#format, templates));
    this.#plans = compileRecordPlans(templates, maxMessageOctets - overheadOctets(this.#format));
    this.#templateMessages = packTemplateMessages(this.#format, templates, maxMessageOctets);
    this.#context = createEncodingContext(directory, nonProcessNames);
    this.#packer = new MessagePacker(this.#format, this.#plans, maxMessageOctets, this.#context);
    this.#pacer = createPacer({
      messagesPerSecond: options.messagesPerSecond ?? DEFAULT_MESSAGES_PER_SECOND,
      burstMessages: DEFAULT_BURST_MESSAGES,
      nowMs: () => performance.now(),
    });
  }

  async open(): Promise<void> {
    await this.#transport.open();
    this.#isOpen = true;
    this.#uptimeZeroBootMs = this.#bootMs() - DAY_MS;
  }

  async write(batch: FlowRecordBatch): Promise<void> {
    await this.#beginSweep();
    let known = 0;
    // One family after the other: each change of template costs a set header.
    for (const plan of this.#plans) {
      const ipVersion = IP_VERSIONS[plan.template.family];
      for (let i = 0; i < batch.count; i++) {
        const offset = i * FLOW_RECORD.size;
        if (batch.bytes[offset + FLOW_RECORD.fields.ip_version.offset] !== ipVersion) continue;
        known++;
        const message = this.#packer.append(plan, batch.bytes, offset);
        if (message !== undefined) await this.#sendData(message);
      }
    }
    this.#unknownRecords += batch.count - known;
  }

  async flush(): Promise<void> {
    await this.#beginSweep();
    const message = this.#packer.finish();
    if (message !== undefined) await this.#sendData(message);
    this.#isInSweep = false;
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    try {
      await this.flush();
    } finally {
      this.#isOpen = false;
      await this.#transport.close();
    }
  }

  statistics(): ExportStatistics {
    return {
      messages: this.#messages,
      octets: this.#octets,
      records: this.#records,
      templates: this.#templates,
      sendErrors: this.#sendErrors,
      lostRecords: this.#lostRecords,
      refusals: this.#transport.refusals(),
      unknownRecords: this.#unknownRecords,
      truncatedFields: this.#context.truncatedFields,
      clampedTimes: this.#context.clampedTimes,
      lastError: this.#lastError,
    };
  }

  /** The clocks are compared once a sweep, so that all its times are on one scale. */
  async #beginSweep(): Promise<void> {
    if (!this.#isOpen) {
      const operation = `export to ${this.#transport.destination}`;
      throw new ExportError('not-open', operation, 'call open() first, and nothing after close()');
    }
    if (this.#isInSweep) return;
    this.#isInSweep = true;
    this.#context.bootEpochMs = this.#options.clock.bootEpochMs();
    // sysUptime wraps after 49.7 days. Moving its zero a day earlier looks to a collector as a
    // restart does, for which it wants templates; a wrap would misdate the flows in progress.
    const isWrapping = this.#bootMs() - this.#uptimeZeroBootMs > WORD - DAY_MS;
    if (isWrapping) this.#uptimeZeroBootMs = this.#bootMs() - DAY_MS;
    this.#context.uptimeZeroMs = Math.floor(this.#context.bootEpochMs) + this.#uptimeZeroBootMs;
    // A collector that did not listen has missed its templates.
    const refusals = this.#transport.refusals();
    const isRefused = refusals !== this.#refusalsSeen;
    this.#refusalsSeen = refusals;
    if (isWrapping || isRefused) this.#templatesSentMs = -Infinity;
    await this.#refreshTemplates();
  }

  async #refreshTemplates(): Promise<void> {
    if (this.#bootMs() - this.#templatesSentMs < this.#options.templateRefreshMs) return;
    this.#templatesSentMs = this.#bootMs();
    for (const { bytes, templateRecords } of this.#templateMessages) {
      this.#finishHeader(bytes, bytes.length, templateRecords, 0);
      if (await this.#send(bytes, bytes.length)) this.#templates += templateRecords;
    }
  }

  async #sendData({ bytes, octets, dataRecords }: PackedMessage): Promise<void> {
    await this.#refreshTemplates();
    this.#finishHeader(bytes, octets, dataRecords, dataRecords);
    if (await this.#send(bytes, octets)) this.#records += dataRecords;
    else this.#lostRecords += dataRecords;
  }

  /** A message that is then lost keeps its sequence number: the collector is to see the gap. */
  #finishHeader(bytes: Buffer, octets: number, records: number, dataRecords: number): void {
    const { clock, observationDomainId } = this.#options;
    const header = {
      messageOctets: octets,
      records,
      exportTimeMs: this.#context.bootEpochMs + Number(clock.bootNs()) / 1e6,
      uptimeZeroMs: this.#context.uptimeZeroMs,
      sequenceNumber: this.#sequenceNumber,
      observationDomainId,
    };
    this.#format.writeMessageHeader(header, bytes);
    this.#sequenceNumber = (this.#sequenceNumber + this.#format.sequenceStep(dataRecords)) % WORD;
  }

  async #send(bytes: Buffer, octets: number): Promise<boolean> {
    for (let wait = this.#pacer.take(); wait > 0; wait = this.#pacer.take()) await sleep(wait);
    try {
      await this.#transport.send(bytes, octets);
    } catch (error) {
      this.#sendErrors++;
      this.#lastError = error instanceof Error ? error.message : String(error);
      return false;
    }
    this.#messages++;
    this.#octets += octets;
    return true;
  }

  #bootMs(): number {
    return Math.floor(Number(this.#options.clock.bootNs()) / 1e6);
  }
}

/** The longest message that cannot be made shorter: one template, or one record. */
function leastMessageOctets(format: MessageFormat, templates: readonly Template[]): number {
  const lengths = templates.flatMap((template) => [
    messageOctets(format, [template]),
    overheadOctets(format) + compileRecordPlan(template).maxRecordOctets,
  ]);
  return Math.max(...lengths);
}

/** What a message with one record has besides it. */
function overheadOctets(format: MessageFormat): number {
  return format.headerOctets + format.setHeaderOctets + format.setAlignmentOctets - 1;
}

function checkOptions(options: ExportingProcessOptions, leastOctets: number): void {
  const check = (name: string, value: number, least: number, most: number): void => {
    if (Number.isInteger(value) && value >= least && value <= most) return;
    const reason = `must be a whole number from ${least} to ${most}`;
    throw new ExportError('bad-option', `set ${name} to ${value}`, reason);
  };
  check('maxMessageOctets', options.maxMessageOctets, leastOctets, LONGEST_MESSAGE_OCTETS);
  check('observationDomainId', options.observationDomainId, 0, WORD - 1);
  check('templateRefreshMs', options.templateRefreshMs, 1000, WORD - 1);
  check('collector.port', options.collector.port, 1, 65535);
  if (options.source?.port !== undefined) check('source.port', options.source.port, 0, 65535);
  if (options.messagesPerSecond !== undefined) {
    check('messagesPerSecond', options.messagesPerSecond, 1, 1_000_000);
  }
}
