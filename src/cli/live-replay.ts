// procflow live -r: prints the flows of a capture file, as they end in its time.
import { ConfigError } from '../daemon/config-error.js';
import { readReplayConfig } from '../daemon/replay-config.js';
import { runReplay } from '../daemon/run-replay.js';
import type { FlowContext } from '../daemon/run-meter.js';
import { flowJson } from './flow-json.js';
import { LineOutput } from './line-output.js';
import { liveRow, LiveTable } from './live-line.js';
import { LiveSink, type FormatLine } from './live-sink.js';
import type { MeterOptionValues } from './meter-options.js';
import { notice, type ProgramIo } from './program-io.js';
import { ProgressLine, liveReplaySummaryLines, replayText, reportReplay } from './replay.js';
import { choiceClauses } from './summary-text.js';
import { paintFor } from './terminal-style.js';

interface LiveReplayOptions extends MeterOptionValues {
  readonly read: string;
  readonly json?: boolean;
  readonly wide?: boolean;
}

export async function runLiveReplay(
  io: ProgramIo,
  options: LiveReplayOptions,
  filter: readonly string[],
): Promise<void> {
  if (options.wide === true) {
    const reason = 'tells of processes, and nothing is known of those in a file';
    throw new ConfigError('--wide', reason, 'leave it out');
  }
  const config = readReplayConfig({ ...options, filter, interface: options.interface ?? [] });
  const readerLeft = new AbortController();
  const output = new LineOutput(io.out, () => {
    readerLeft.abort();
  });
  const isJson = options.json === true;
  const table = new LiveTable(paintFor(io.out, io.env), 'replay');
  const openSinks = async ({ clock, ...context }: FlowContext): Promise<LiveSink[]> => {
    const format: FormatLine = isJson
      ? (record, bootEpoch) => flowJson(record, bootEpoch, context.directory)
      : (record, bootEpoch) => table.line(liveRow(record, bootEpoch, context));
    return [new LiveSink(output, clock, format)];
  };
  // Between lines on the same terminal it would be in the way.
  const progress = new ProgressLine(io, io.out.isTTY !== true);
  const say = (line: string): void => {
    progress.clear();
    notice(io, line);
  };
  const summary = await runReplay(config, openSinks, {
    signal: AbortSignal.any([io.stopSignal(), readerLeft.signal]),
    onNotice: say,
    onProgress: (done) => {
      progress.update(done);
    },
    onMetering: (file) => {
      say(`metering ${replayText(file)}${choiceClauses(config)}`);
      if (io.out.isTTY === true && !isJson) void output.write([table.header()]);
    },
  });
  progress.clear();
  if (output.isClosed) return;
  reportReplay(io, liveReplaySummaryLines(summary), summary);
}
