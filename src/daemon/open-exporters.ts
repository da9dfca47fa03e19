// The exporting processes of a session, one a collector, and what they send through.
import { loadExportSockets } from '../bpf-loader/export-sockets.js';
import { createBalancedSink } from '../exporter/balanced-sink.js';
import type { ExportStatistics } from '../exporter/export-counters.js';
import type { Journal } from '../exporter/durable/journal.js';
import type { OpenQueue } from '../exporter/durable/message-queue.js';
import { DEFAULT_MAX_MESSAGE_OCTETS } from '../exporter/export-options.js';
import {
  createExportingProcess,
  type ExportingProcess,
  type TemplateResending,
} from '../exporter/exporting-process.js';
import type { MessageTransport } from '../exporter/delivery/message-transport.js';
import { createFileTransport } from '../exporter/transports/file-transport.js';
import type { DatagramsSender } from '../exporter/transports/udp-socket.js';
import { createUdpTransport } from '../exporter/transports/udp-transport.js';
import { createUnixTransport } from '../exporter/transports/unix-transport.js';
import type { KernelClock } from '../flow/clock.js';
import type { BatchMemory } from '../flow/batch-memory.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { MeteringStatus } from '../flow/metering-status.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import { ExportError } from '../exporter/export-error.js';
import { ConfigError } from './config-error.js';
import { addressText, isStream, type CollectorAddress } from './collector-address.js';
import type { CollectorConfig, ExportConfig } from './export-config.js';
import { openExportJournal, openJournalQueue, type JournalMemory } from './export-journal.js';
import { isSpooled, openSpool, type SpoolConfig } from './spool.js';
import { interfaceNumbering, numberedStatus } from './interface-numbers.js';

export interface ExportContext {
  readonly clock: KernelClock;
  readonly directory: ProcessDirectory;
  readonly nonProcessNames: NonProcessNames;
  readonly status: MeteringStatus;
  /** Both directions of a connection are in sweeps not further apart. */
  readonly sweepIntervalMs: number;
  /** How many flows there can be. */
  readonly maxFlows: number;
  /** For collectors that are not given another one. */
  readonly observationDomainId: number;
  /** Rather waits for a collector than loses what it does not take at once. */
  readonly isPatient?: boolean;
  /** Memory for what the next run needs, where there is to be one. */
  readonly openMemory?: ((octets: number) => JournalMemory) | undefined;
  /** Told what an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
}

interface NumberedContext extends ExportContext {
  readonly journal: Journal | undefined;
  readonly spool: SpoolConfig | undefined;
  readonly interfaceNumber: ((index: number) => number) | undefined;
}

export interface CollectorStatistics extends ExportStatistics {
  /** "udp://192.0.2.1:9995" */
  readonly destination: string;
}

export interface OpenExporters {
  /** Where flow records are to stand until all sinks have them. */
  readonly memory?: BatchMemory | undefined;
  readonly sinks: readonly FlowSink[];
  readonly statistics: () => readonly CollectorStatistics[];
  /** Sends templates and options at once, where that is of use. */
  readonly resendTemplates: () => readonly CollectorTemplates[];
  /** Looks up now where the collectors are. */
  readonly refresh: () => void;
  /** What is not sent by now is lost; close() waits for nothing. */
  readonly abandon: () => void;
  /** Resolves when everything has arrived, or nothing has moved for so long. */
  readonly drain: (patienceMs: number) => Promise<void>;
}

export interface CollectorTemplates {
  readonly destination: string;
  readonly sent: TemplateResending;
}

/** Messages without a path that they have to fit: fewer headers. */
const STREAM_MESSAGE_OCTETS = 16_384;
const BIFLOW_MARGIN_MS = 500;

/** @throws ExportError for a collector that can never be reached; those before it are closed */
export async function openExporters(
  { collectors, isBalanced, interfaceNumbers, spool }: ExportConfig,
  { status, ...others }: ExportContext,
): Promise<OpenExporters> {
  const context = { ...others, status: numberedStatus(status, interfaceNumbers) };
  const interfaceNumber = interfaceNumbering(status, interfaceNumbers);
  const journal = openJournal(collectors, spool, context);
  const exporters: ExportingProcess[] = [];
  journal?.onCommit(() => {
    for (const exporter of exporters) exporter.letGo();
  });
  try {
    for (const collector of collectors) {
      const all = { ...context, interfaceNumber, spool, journal };
      const exporter = await createChecked(collector, all);
      exporters.push(exporter);
      await exporter.open();
    }
  } catch (error) {
    for (const exporter of exporters) await exporter.close();
    throw error;
  }
  const destination = (i: number): string => {
    const address = collectors[i]?.address;
    return address === undefined ? '' : addressText(address);
  };
  return {
    memory: journal,
    sinks: isBalanced ? [createBalancedSink(exporters)] : exporters,
    drain: async (patienceMs) => {
      await Promise.all(exporters.map((exporter) => exporter.drain(patienceMs)));
    },
    statistics: () =>
      exporters.map((exporter, i) => ({ destination: destination(i), ...exporter.statistics() })),
    resendTemplates: () =>
      exporters.map((exporter, i) => ({
        destination: destination(i),
        sent: exporter.resendTemplates(),
      })),
    refresh: () => {
      for (const exporter of exporters) exporter.refresh();
    },
    abandon: () => {
      for (const exporter of exporters) exporter.abandon();
    },
  };
}

/** What turns out to be impossible when all settings of a collector come together is its user's mistake. */
async function createChecked(
  collector: CollectorConfig,
  context: NumberedContext,
): Promise<ExportingProcess> {
  try {
    return await createExporter(collector, context);
  } catch (error) {
    if (!(error instanceof ExportError) || error.code !== 'bad-option') throw error;
    const advice =
      'see --message-octets, --profile, --options and --biflow in procflow export --help';
    throw new ConfigError(`-n ${addressText(collector.address)}`, error.message, advice);
  }
}

async function createExporter(
  collector: CollectorConfig,
  context: NumberedContext,
): Promise<ExportingProcess> {
  const { address } = collector;
  const openQueue = queueOpener(collector, context);
  // Known once the queue is open, which is before anything is sent.
  const run: { headers?: Buffer } = {};
  const transport = await createTransport(address, context.onNotice, run);
  const usual = isStream(address) ? STREAM_MESSAGE_OCTETS : DEFAULT_MAX_MESSAGE_OCTETS;
  return createExportingProcess(
    {
      version: collector.version,
      templates: {
        profile: collector.elements ?? collector.profile,
        timePrecision: collector.timePrecision,
        nameFormat: collector.nameFormat,
        userFormat: collector.userFormat,
        isBiflow: collector.biflow,
        hasApplicationId: collector.nfdumpAppname,
      },
      observationDomainId: collector.observationDomain ?? context.observationDomainId,
      templateRefreshMs: collector.templateRefresh,
      ...(collector.templateRefreshMessages !== undefined && {
        templateRefreshMessages: collector.templateRefreshMessages,
      }),
      optionsKinds: collector.options,
      optionsPeriodMs: collector.optionsPeriod,
      maxMessageOctets: collector.messageOctets ?? usual,
      ...(collector.rate !== undefined && { messagesPerSecond: collector.rate }),
      backlogOctets: collector.backlog,
      biflowWindowMs: 2 * context.sweepIntervalMs + BIFLOW_MARGIN_MS,
      // Of both IP versions.
      biflowRecords: 2 * context.maxFlows,
      clock: context.clock,
      directory: context.directory,
      status: context.status,
      nonProcessNames: context.nonProcessNames,
      interfaceNumber: context.interfaceNumber,
      isPatient: context.isPatient ?? false,
      openQueue:
        openQueue &&
        ((fingerprint) => {
          const kept = openQueue(fingerprint);
          run.headers = kept.queue.runHeaders;
          return kept;
        }),
    },
    transport,
  );
}

function openJournal(
  collectors: readonly CollectorConfig[],
  spool: SpoolConfig | undefined,
  { openMemory, onNotice }: ExportContext,
): Journal | undefined {
  if (openMemory === undefined) return undefined;
  const kept = collectors.filter(({ address }) => spool === undefined || !isSpooled(address));
  return openExportJournal({ collectors: kept, openMemory, onNotice });
}

type QueueOpener = (fingerprint: Buffer) => OpenQueue;

function queueOpener(
  collector: CollectorConfig,
  { spool, journal, onNotice }: NumberedContext,
): QueueOpener | undefined {
  const { address } = collector;
  if (spool !== undefined && isSpooled(address)) {
    return (fingerprint) =>
      openSpool({ ...spool, address, fingerprint, commit: journal, onNotice });
  }
  return journal && ((fingerprint) => openJournalQueue(journal, collector, fingerprint));
}

/** What only few collectors need is loaded only for them: TLS is a good part of Node. */
async function createTransport(
  address: CollectorAddress,
  onNotice: (line: string) => void,
  run: { readonly headers?: Buffer },
): Promise<MessageTransport> {
  switch (address.scheme) {
    case 'udp': {
      const { openUdpSocket: openSocket, loadSendDatagrams } = loadExportSockets();
      let send: DatagramsSender | undefined;
      const sendDatagrams: DatagramsSender = (fd, datagrams) =>
        (send ??= loadSendDatagrams(run.headers))(fd, datagrams);
      return createUdpTransport({ ...address, openSocket, sendDatagrams, onNotice });
    }
    case 'tcp':
    case 'tls': {
      const { createTcpTransport } = await import('../exporter/transports/tcp-transport.js');
      const { openSendQueue } = loadExportSockets();
      return createTcpTransport({ ...address, openSendQueue, onNotice });
    }
    case 'unix': {
      const { openUnixDatagram } = loadExportSockets();
      return createUnixTransport({ ...address, openUnixDatagram, onNotice });
    }
    case 'file':
      return createFileTransport({ ...address, onNotice });
  }
}
