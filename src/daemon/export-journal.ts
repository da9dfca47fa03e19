// What a session with a state directory keeps of its export for the next one: a journal in memory that the
// kernel keeps.
import { DurableMemory } from '../exporter/durable/durable-memory.js';
import { Journal, journalOctets, type JournalQueue } from '../exporter/durable/journal.js';
import type { OpenQueue } from '../exporter/durable/message-queue.js';
import { ExportError } from '../exporter/export-error.js';
import { addressText } from './collector-address.js';
import type { CollectorConfig } from './export-config.js';

/** Memory of the state directory: see src/bpf-loader/journal-memory.ts. */
export interface JournalMemory {
  readonly memory: Buffer;
  /** What another run left in memory of another size. */
  readonly former?: Buffer;
  readonly dropFormer: () => void;
}

interface JournalOptions {
  /** Those whose messages are kept there. */
  readonly collectors: readonly CollectorConfig[];
  readonly openMemory: (octets: number) => JournalMemory;
  readonly onNotice: (line: string) => void;
}

/** What the last run left is in it: all of it, unless it is said not to be. */
export function openExportJournal({ collectors, openMemory, onNotice }: JournalOptions): Journal {
  const queues = collectors.map((collector): JournalQueue => ({
    name: queueName(collector),
    octets: collector.backlog,
  }));
  const { memory, former, dropFormer } = openMemory(journalOctets(queues));
  const durable = new DurableMemory(memory);
  const left = Journal.find(former === undefined ? durable : new DurableMemory(former));
  if (left?.isFor(queues) === true && former === undefined) return left;
  // In the place of another one, of which nobody has a copy but this process.
  const from = former ?? (left && Buffer.from(memory));
  const journal = Journal.create(durable, queues);
  const before = from && Journal.find(new DurableMemory(from));
  if (before !== undefined) takeOver(journal, before, onNotice);
  dropFormer();
  return journal;
}

function takeOver(journal: Journal, before: Journal, onNotice: (line: string) => void): void {
  try {
    const { records, packets, octets } = journal.takeOver(before);
    if (records === 0) return;
    const sums = `${records} records (${packets} packets, ${octets} octets)`;
    onNotice(`LOSS: ${sums} that the last run left for collectors that are no more`);
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    onNotice(`LOSS: messages that the last run left: ${error.message}`);
  }
}

/** What cannot be sent with the templates of now is lost, and counted. */
export function openJournalQueue(
  journal: Journal,
  collector: CollectorConfig,
  fingerprint: Buffer,
): OpenQueue {
  const name = queueName(collector);
  const close = (): void => undefined;
  try {
    return { queue: journal.openQueue(name, fingerprint), close };
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    const lost = journal.clear(name);
    return { queue: journal.openQueue(name, fingerprint), lost, close };
  }
}

function queueName({ address, version }: CollectorConfig): string {
  return `${addressText(address)}?version=${version}`;
}
