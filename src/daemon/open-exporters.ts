// The exporting processes of a session, one a collector, and what they send through.
import { loadExportSockets } from '../bpf-loader/export-sockets.js';
import { createBalancedSink } from '../exporter/balanced-sink.js';
import type { ExportStatistics } from '../exporter/export-counters.js';
import {
  DEFAULT_MAX_MESSAGE_OCTETS,
  type ExportingProcessOptions,
} from '../exporter/export-options.js';
import {
  createExportingProcess,
  type ExportingProcess,
  type TemplateResending,
} from '../exporter/exporting-process.js';
import type { MessageTransport } from '../exporter/delivery/message-transport.js';
import { createFileTransport } from '../exporter/transports/file-transport.js';
import { createUdpTransport } from '../exporter/transports/udp-transport.js';
import { createUnixTransport } from '../exporter/transports/unix-transport.js';
import type { KernelClock } from '../flow/clock.js';
import type { FlowSink } from '../flow/flow-sink.js';
import type { MeteringStatus } from '../flow/metering-status.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import { ExportError } from '../exporter/export-error.js';
import { ConfigError } from './config-error.js';
import { addressText, isStream, type CollectorAddress } from './collector-address.js';
import type { CollectorConfig, ExportConfig } from './export-config.js';
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
  /** Told what an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
}

interface NumberedContext extends ExportContext {
  readonly spool: SpoolConfig | undefined;
  readonly interfaceNumber: ((index: number) => number) | undefined;
}

export interface CollectorStatistics extends ExportStatistics {
  /** "udp://192.0.2.1:9995" */
  readonly destination: string;
}

export interface OpenExporters {
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
  const exporters: ExportingProcess[] = [];
  try {
    for (const collector of collectors) {
      const exporter = await createChecked(collector, { ...context, interfaceNumber, spool });
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
  const transport = await createTransport(address, context.onNotice);
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
      openQueue: queueOpener(address, context),
    },
    transport,
  );
}

function queueOpener(
  address: CollectorAddress,
  { spool, onNotice }: NumberedContext,
): ExportingProcessOptions['openQueue'] {
  if (spool === undefined || !isSpooled(address)) return undefined;
  return (fingerprint) => openSpool({ ...spool, address, fingerprint, onNotice });
}

/** What only few collectors need is loaded only for them: TLS is a good part of Node. */
async function createTransport(
  address: CollectorAddress,
  onNotice: (line: string) => void,
): Promise<MessageTransport> {
  switch (address.scheme) {
    case 'udp': {
      const { openUdpSocket: openSocket, sendDatagrams } = loadExportSockets();
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
