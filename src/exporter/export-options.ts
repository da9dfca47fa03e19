// What an exporting process can be told, with what holds where nothing is said.
import type { KernelClock } from '../flow/clock.js';
import type { MeteringStatus } from '../flow/metering-status.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { ProcessDirectory } from '../flow/process-directory.js';
import type { ExportVersion, TemplateOptions } from '../templates/flow-template.js';
import type { OptionsKind } from '../templates/options-templates.js';
import type { OpenQueue } from './durable/message-queue.js';
import { ExportError } from './export-error.js';

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
  /**
   * Over UDP only: the others say themselves when they are full. When left out, a collector on this host is
   * sent what it takes, and others DEFAULT_MESSAGES_PER_SECOND.
   */
  readonly messagesPerSecond?: number;
  /** Messages that wait for a collector. */
  readonly backlogOctets?: number;
  /**
   * Where messages are kept for the next run instead, if this one ends before they are sent; `fingerprint`
   * says how they are encoded. Opened once. Throws an ExportError or what the memory's owner throws.
   */
  readonly openQueue?: ((fingerprint: Buffer) => OpenQueue) | undefined;
  /** A sweep waits for room as long as messages leave; usually it has others to think of. */
  readonly isPatient?: boolean;
  /** With biflows: how long a record waits for its reverse, and how many may. */
  readonly biflowWindowMs?: number;
  readonly biflowRecords?: number;
  readonly clock: KernelClock;
  readonly directory: ProcessDirectory;
  readonly status?: MeteringStatus;
  /** "(kernel)" and the like, unless they are given. */
  readonly nonProcessNames?: NonProcessNames;
  /** By which number the collector knows the interface of this index; by the index when left out. */
  readonly interfaceNumber?: ((index: number) => number) | undefined;
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

/**
 * @param leastOctets the longest message that cannot be made shorter
 * @param isReliable whether messages go in a stream, and not in datagrams
 * @throws ExportError `bad-option`
 */
export function checkOptions(
  options: ExportingProcessOptions,
  leastOctets: number,
  isReliable: boolean,
): void {
  const check = (name: string, value: number | undefined, least: number, most: number): void => {
    if (value === undefined) return;
    if (Number.isInteger(value) && value >= least && value <= most) return;
    const reason = `must be a whole number from ${least} to ${most}`;
    throw new ExportError('bad-option', `set ${name} to ${value}`, reason);
  };
  const longest = isReliable ? LONGEST_MESSAGE_OCTETS : LONGEST_DATAGRAM_OCTETS;
  if (options.maxMessageOctets < leastOctets) {
    const operation = `send messages of at most ${options.maxMessageOctets} octets`;
    const reason = `one with a single record, or template, can have ${leastOctets}`;
    throw new ExportError('bad-option', operation, reason);
  }
  check('maxMessageOctets', options.maxMessageOctets, leastOctets, longest);
  check('observationDomainId', options.observationDomainId, 0, WORD - 1);
  check('templateRefreshMs', options.templateRefreshMs, 1000, WORD - 1);
  check('templateRefreshMessages', options.templateRefreshMessages, 1, WORD - 1);
  check('optionsPeriodMs', options.optionsPeriodMs, 1000, WORD - 1);
  check('messagesPerSecond', options.messagesPerSecond, 1, 1_000_000);
  check('biflowWindowMs', options.biflowWindowMs, 0, 3_600_000);
  check('biflowRecords', options.biflowRecords, 1, 2 ** 25);
  if (options.templates?.isBiflow === true && options.version !== 10) {
    const reason = 'only IPFIX has both directions in one record: choose version 10';
    throw new ExportError('bad-option', `export biflows in NetFlow v${options.version}`, reason);
  }
  check('backlogOctets', options.backlogOctets, 0, 2 ** 40);
}
