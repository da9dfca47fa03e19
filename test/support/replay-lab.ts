// Meters capture files in this process, through the real programs, into records.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReplayConfig } from '../../src/daemon/replay-config.js';
import { runReplay, type ReplaySummary } from '../../src/daemon/run-replay.js';
import type { BootEpoch } from '../../src/flow/clock.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { FlowSink } from '../../src/flow/flow-sink.js';
import { NON_PROCESS_NAMES } from '../../src/flow/non-process-names.js';
import type { Teardown } from './program.js';
import { NEVER } from './timeouts.js';

export interface ReplayedFile {
  readonly records: readonly FlowRecord[];
  /** How many records each sweep gave. */
  readonly sweeps: readonly number[];
  readonly summary: ReplaySummary;
  readonly notices: readonly string[];
  readonly epoch: BootEpoch | undefined;
}

export interface ReplayRun extends Partial<Omit<ReplayConfig, 'file'>> {
  readonly signal?: AbortSignal;
  /** Told of each record as it leaves. */
  readonly onRecords?: (records: readonly FlowRecord[]) => Promise<void>;
}

export function writeTemporary(t: Teardown, bytes: Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'procflow-replay-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'capture');
  writeFileSync(path, bytes);
  return path;
}

export async function replayFile(
  t: Teardown,
  file: Buffer,
  { signal, onRecords, ...config }: ReplayRun = {},
): Promise<ReplayedFile> {
  const records: FlowRecord[] = [];
  const sweeps: number[] = [];
  const notices: string[] = [];
  let epoch: BootEpoch | undefined;
  let inSweep = 0;
  const sink: FlowSink = {
    write: async ({ bytes, count }) => {
      const copy = Buffer.from(bytes);
      const views = Array.from({ length: count }, (_, i) =>
        new FlowRecord().at(copy, i * FLOW_RECORD.size),
      );
      inSweep += count;
      records.push(...views);
      await onRecords?.(views);
    },
    flush: async () => {
      sweeps.push(inSweep);
      inSweep = 0;
    },
    close: async () => undefined,
  };
  const summary = await runReplay(
    {
      file: writeTemporary(t, file),
      timeouts: NEVER,
      maxFlows: 1024,
      sampling: { kind: 'none' },
      trackLevel: 'full',
      nonProcessNames: NON_PROCESS_NAMES,
      ...config,
    },
    async ({ clock }) => {
      epoch = clock.bootEpoch();
      return [sink];
    },
    {
      signal: signal ?? new AbortController().signal,
      onMetering: () => undefined,
      onNotice: (line) => notices.push(line),
    },
  );
  return { records, sweeps, summary, notices, epoch };
}
