// What a session says of itself when it begins and ends. Numbers are written plainly, so that a script can
// read them.
import type { MeterConfig } from '../daemon/meter-config.js';
import type { MeterSummary } from '../daemon/meter-session.js';
import type { MeterCounter } from '../flow/flow-source.js';
import type {
  CollectorStatistics,
  ExportSummary,
  Metered,
  RunSummary,
} from '../daemon/run-meter.js';
import type { ProcessStatistics } from '../flow/process-directory.js';
import { attributionLines } from './attribution-text.js';
import { samplingClause, samplingLines } from './sampling-text.js';

/** A host full of containers has more interfaces than a line holds. */
const MAX_INTERFACES = 8;

/** Counters that `live` shows too, when they are not zero. */
export const SIGNS_OF_TROUBLE: ReadonlySet<string> = new Set<MeterCounter>([
  'MALFORMED_PACKETS',
  'FRAGMENTS_UNMATCHED',
  'LOST_PACKETS',
  'LOST_OCTETS',
  'OWNERS_NOT_STORED',
  'PROCESS_EVENTS_LOST',
]);

export function meteredText(metered: Metered): string {
  if ('cgroup' in metered) return `sockets of cgroup ${metered.cgroup}`;
  const names = metered.interfaces;
  if (names.length === 0) return 'no interface yet';
  const rest = names.length - MAX_INTERFACES;
  const shown = names.slice(0, MAX_INTERFACES).join(', ');
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}

/** Which packets are metered, where not all are: to follow where they are. */
export function choiceClauses({
  filter,
  sampling,
}: Pick<MeterConfig, 'filter' | 'sampling'>): string {
  return `${filter === undefined ? '' : `; filter ${filter}`}${samplingClause(sampling)}`;
}

export function exportSummaryLines(summary: ExportSummary): string[] {
  const { exported } = summary;
  return [
    ...meterLines(summary),
    ...attributionLines(summary.attribution),
    ...exported.flatMap((collector) => sentLines(collector, exported.length > 1)),
    ...cacheLines(summary),
    ...processLines(summary.processes),
    ...lossLines([
      ...meterLosses(summary),
      ...exported.flatMap((collector) => exportLosses(collector, exported.length > 1)),
    ]),
    ...counterLines(summary),
  ];
}

export function sentLines(collector: CollectorStatistics, isOneOfSeveral: boolean): string[] {
  const { destination, records, messages, octets, templates, optionsRecords } = collector;
  const { refusals, biflows, newSessions } = collector;
  const to = isOneOfSeveral ? ` to ${destination}` : '';
  const options = optionsRecords === 0 ? '' : ` and ${optionsRecords} options records`;
  const isAwaited = refusals > 0 && !destination.startsWith('udp:');
  const away = isAwaited ? `; it was away when looked for ${refusals} times` : '';
  const joined = biflows === 0 ? '' : ` (${biflows} of two flow records)`;
  const again = newSessions === 0 ? '' : ` and ${newSessions + 1} sessions`;
  const kept = [
    [collector.takenOverRecords, 'records of the last run were taken over'],
    [collector.keptRecords, `records in ${collector.keptMessages} messages wait for the next run`],
  ] as const;
  return [
    `sent${to} ${records} records${joined} in ${messages} messages${again} of together ${octets} bytes, ` +
      `and ${templates} templates${options}${away}`,
    ...kept
      .filter(([count]) => count > 0)
      .map(([count, what]) => `${count} ${what}${isOneOfSeveral ? ` (${destination})` : ''}`),
  ];
}

export function liveSummaryLines(summary: RunSummary): string[] {
  return [
    ...meterLines(summary),
    ...attributionLines(summary.attribution),
    ...cacheLines(summary),
    ...processLines(summary.processes),
    ...lossLines(meterLosses(summary)),
    ...counterLines(summary, (name, value) => value > 0 && SIGNS_OF_TROUBLE.has(name)),
  ];
}

function meterLines(summary: MeterSummary): string[] {
  return [totalLine(summary), ...keptLines(summary), ...samplingLines(summary.counters)];
}

/** With a state directory metering does not end with the session. */
function keptLines({ flowsKept }: MeterSummary): string[] {
  if (flowsKept === undefined) return [];
  return [
    `metering goes on in the kernel: ${flowsKept} flows are kept for the next start (procflow detach ends it)`,
  ];
}

/** @param of whose duration it is, where it is not the session's */
export function totalLine(summary: MeterSummary, of = ''): string {
  const { records, packets, octets, durationMs, endReasons } = summary;
  const total = `${records} flow records, ${packets} packets, ${octets} octets`;
  const reasons = Object.entries(endReasons)
    .map(
      ([name, count]) =>
        `${name.replace('FLOW_END_', '').replaceAll('_', ' ').toLowerCase()} ${count}`,
    )
    .join(', ');
  const why = reasons === '' ? '' : ` (${reasons})`;
  return `${total} in ${(durationMs / 1000).toFixed(1)} s${of}${why}`;
}

/** Nothing is lost when the cache is full, but records get many and small. */
function cacheLines({ counters }: MeterSummary): string[] {
  const full = counters?.CACHE_FULL_PACKETS ?? 0;
  if (full === 0) return [];
  return [`the cache was full: ${full} packets became records of their own (raise --max-flows)`];
}

/** How well processes were known, where something was amiss: no flow is lost by it. */
function processLines({ known, ...trouble }: ProcessStatistics): string[] {
  const parts = [
    [trouble.evicted, 'forgotten for want of room'],
    [trouble.healed, 'looked up in /proc'],
    [trouble.notFound, 'not found'],
    [trouble.postponed, 'times not looked up at once'],
    [trouble.failedReads, 'failed reads of events'],
  ] as const;
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return said.length === 0 ? [] : [`processes: ${known} known, ${said.join(', ')}`];
}

/** How many, and of what. */
export type Loss = readonly [count: number, what: string];

export function meterLosses({ counters, errors, flowsLeftBehind, deleted }: MeterSummary): Loss[] {
  return [
    [
      counters?.LOST_PACKETS ?? 0,
      `packets that were not metered (${counters?.LOST_OCTETS ?? 0} octets): cache and ring buffer were full`,
    ],
    [counters?.OWNERS_NOT_STORED ?? 0, 'sockets without an owner: no memory for it'],
    [errors.sweeps, 'sweeps that failed'],
    [errors.rescans, 'looks for new interfaces that failed'],
    [errors.sinks, 'writes and flushes of records that failed'],
    [errors.recordsNotWritten, 'records that could not be written'],
    [counters === undefined ? 1 : 0, "failure to read the kernel's counters"],
    [flowsLeftBehind, 'flows that were still in the cache at the end'],
    [
      deleted.records,
      `flow records (${deleted.packets} packets, ${deleted.octets} octets) deleted on request (delete-all)`,
    ],
  ];
}

export function exportLosses(statistics: CollectorStatistics, isOneOfSeveral: boolean): Loss[] {
  const { destination, lastError, lostPackets, lostOctets } = statistics;
  const why = lastError === undefined ? '' : `: ${lastError}`;
  const sums = `${lostPackets} packets, ${lostOctets} octets`;
  const { sendErrors } = statistics;
  // Who makes the sender wait loses nothing by being away.
  const refusedMessages = destination.startsWith('udp:') ? statistics.refusals : 0;
  const losses: Loss[] = [
    [sendErrors, 'messages that the network did not take'],
    [statistics.lostRecords, `records (${sums}) in messages that could not be sent${why}`],
    [refusedMessages, 'times the collector was not listening: a message lost each time'],
    [statistics.notExportable, 'flow records that the format cannot express'],
    [statistics.crowdedOutRecords, 'flow records not joined to their reverse: too many waited'],
    [statistics.truncatedFields, 'names and command lines cut to the length of their field'],
    [statistics.clampedTimes, 'times too early for sysUptime'],
  ];
  if (!isOneOfSeveral) return losses;
  return losses.map(([count, what]) => [count, `${what} (${destination})`]);
}

export function lossLines(losses: readonly Loss[]): string[] {
  const real = losses.filter(([count]) => count > 0);
  if (real.length === 0) return ['nothing was lost'];
  return real.map(([count, what]) => `LOSS: ${count} ${what}`);
}

export function counterLines(
  { counters }: MeterSummary,
  isShown: (name: string, value: number) => boolean = (name) => name !== 'METER_COUNTERS',
): string[] {
  const entries = Object.entries(counters ?? {}).filter((entry) => isShown(...entry));
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
}
