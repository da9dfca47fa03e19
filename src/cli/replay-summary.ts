// What a replay says of itself when it ends.
import type { ExportReplaySummary, ReplaySummary } from '../daemon/run-replay.js';
import { samplingLines } from './sampling-text.js';
import {
  counterLines,
  exportLosses,
  lossLines,
  meterLosses,
  sentLines,
  SIGNS_OF_TROUBLE,
  totalLine,
  type Loss,
} from './summary-text.js';

export function liveReplaySummaryLines(summary: ReplaySummary): string[] {
  return [
    ...replayLines(summary),
    ...lossLines(replayLosses(summary)),
    ...counterLines(summary, (name, value) => value > 0 && SIGNS_OF_TROUBLE.has(name)),
  ];
}

export function exportReplaySummaryLines(summary: ExportReplaySummary): string[] {
  const { exported } = summary;
  const isOneOfSeveral = exported.length > 1;
  return [
    ...replayLines(summary),
    ...exported.flatMap((collector) => sentLines(collector, isOneOfSeveral)),
    ...lossLines([
      ...replayLosses(summary),
      ...exported.flatMap((collector) => exportLosses(collector, isOneOfSeveral)),
    ]),
    ...counterLines(summary),
  ];
}

function replayLines(summary: ReplaySummary): string[] {
  const { counts, counters, elapsedMs } = summary;
  const seconds = elapsedMs / 1000;
  const others = [
    [counts.filtered, 'filtered'],
    [counters?.NON_IP_FRAMES ?? 0, 'not IP'],
    [counters?.MALFORMED_PACKETS ?? 0, 'malformed'],
  ] as const;
  const said = others.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const without = said.length === 0 ? '' : `; ${said.join(', ')}`;
  const rate = Math.round(counts.frames / Math.max(seconds, 0.001));
  return [
    totalLine(summary, ' of capture'),
    `read ${counts.frames} frames in ${seconds.toFixed(1)} s, ${rate} a second${without}`,
    ...samplingLines(counters),
  ];
}

function replayLosses(summary: ReplaySummary): Loss[] {
  const { unreadable, unfit } = summary.counts;
  return [
    ...meterLosses(summary),
    ...lossesByLinkType(unreadable, (type) => `frames of link type ${type}, not metered`),
    ...lossesByLinkType(
      unfit,
      (type) => `frames of link type ${type}, which the filter does not fit`,
    ),
  ];
}

function lossesByLinkType(
  counts: Readonly<Record<string, number>>,
  say: (type: string) => string,
): Loss[] {
  return Object.entries(counts).map(([type, count]) => [count, say(type)]);
}
