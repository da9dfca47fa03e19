// How much is told of the session's work; nothing at level 0.
import type { SweepOutcome } from '../meter-session.js';
import type { CollectorStatistics } from '../open-exporters.js';

export class DebugLevel {
  readonly #onNotice: (line: string) => void;
  #level = 0;
  /** What each collector had been sent, by destination. */
  readonly #told = new Map<string, string>();

  constructor(onNotice: (line: string) => void) {
    this.#onNotice = onNotice;
  }

  /** @returns the new level */
  change(step: 1 | -1): number {
    this.#level = Math.max(0, this.#level + step);
    return this.#level;
  }

  /** A line for a sweep; from level 2 on one for each collector of which there is news, too. */
  sweepDone(
    { scope, records, durationMs }: SweepOutcome,
    activeFlows: () => number,
    collectors: () => readonly CollectorStatistics[],
  ): void {
    if (this.#level === 0) return;
    const found = records === undefined ? 'failed' : `${records} flow records`;
    const what = scope === 'all' ? 'sweep of all flows' : 'sweep';
    this.#onNotice(
      `${what}: ${found} in ${durationMs.toFixed(0)} ms, ${activeFlows()} flows in the cache`,
    );
    if (this.#level === 1) return;
    for (const collector of collectors()) {
      const line = collectorLine(collector);
      if (this.#told.get(collector.destination) === line) continue;
      this.#told.set(collector.destination, line);
      this.#onNotice(line);
    }
  }
}

function collectorLine(statistics: CollectorStatistics): string {
  const { destination, records, messages, octets, templates, lostRecords, lastError } = statistics;
  const sent = `${records} records and ${templates} templates in ${messages} messages, ${octets} octets`;
  const lost = lostRecords === 0 ? '' : `; lost ${lostRecords} records`;
  const error = lastError === undefined ? '' : `; last error: ${lastError}`;
  return `sent to ${destination} so far: ${sent}${lost}${error}`;
}
