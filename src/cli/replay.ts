// procflow live -r and procflow export -r: what they share in reading a capture file.
import type { Command } from 'commander';
import type { ReplayProgress, ReplayedFile, ReplaySummary } from '../daemon/run-replay.js';
import { notice, type ProgramIo } from './program-io.js';
import { exportReplaySummaryLines, liveReplaySummaryLines } from './replay-summary.js';

export { exportReplaySummaryLines, liveReplaySummaryLines };

const READ_HELP =
  'read a capture file, pcap or pcapng, in the place of interfaces; "-" is standard input';

export function addReadOption(command: Command): Command {
  return command.option('-r, --read <file>', READ_HELP);
}

/** "capture.pcap (12 MB)" */
export function replayText({ name, octets }: ReplayedFile): string {
  return octets === undefined ? name : `${name} (${sizeText(octets)})`;
}

function sizeText(octets: number): string {
  return octets < 1e6 ? `${Math.ceil(octets / 1000)} kB` : `${(octets / 1e6).toFixed(0)} MB`;
}

/** A smaller file is read before anyone has looked. */
const LEAST_OCTETS = 32e6;
const INTERVAL_MS = 500;
const CLEAR_LINE = '\r\x1b[K';

/** One line on a terminal, written over again and again. */
export class ProgressLine {
  readonly #io: ProgramIo;
  readonly #isShown: boolean;
  readonly #begunMs = performance.now();
  #writtenMs = this.#begunMs;
  #isThere = false;

  /** @param isShown whether anything else of the program's is kept from the terminal meanwhile */
  constructor(io: ProgramIo, isShown: boolean) {
    this.#io = io;
    this.#isShown = isShown && io.err.isTTY === true;
  }

  update(progress: ReplayProgress): void {
    const { totalOctets } = progress;
    if (!this.#isShown || (totalOctets !== undefined && totalOctets < LEAST_OCTETS)) return;
    const nowMs = performance.now();
    if (nowMs - this.#writtenMs < INTERVAL_MS) return;
    this.#writtenMs = nowMs;
    this.#isThere = true;
    this.#io.err.write(`${CLEAR_LINE}${progressText(progress, nowMs - this.#begunMs)}`);
  }

  /** Something else is going to be written. */
  clear(): void {
    if (this.#isThere) this.#io.err.write(CLEAR_LINE);
    this.#isThere = false;
  }
}

export function progressText(
  { octets, totalOctets, frames }: ReplayProgress,
  elapsedMs: number,
): string {
  const rate = `${frames} packets, ${Math.round((frames * 1000) / elapsedMs)} a second`;
  if (totalOctets === undefined) return `${sizeText(octets)}, ${rate}`;
  const share = Math.min(100, Math.floor((octets * 100) / Math.max(1, totalOctets)));
  return `${share} % of ${sizeText(totalOctets)}, ${rate}`;
}

/** At the end: what was metered, and what kept the file from being read to its end. */
export function reportReplay(
  io: ProgramIo,
  lines: readonly string[],
  summary: ReplaySummary,
): void {
  for (const line of lines) notice(io, line);
  if (summary.fault === undefined) return;
  notice(io, `${summary.fault.message}; what stands before was metered`);
  io.setExitCode(1);
}
