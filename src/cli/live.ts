// procflow live: prints each flow as it ends.
import { Command } from 'commander';
import { readMeterConfig } from '../daemon/meter-config.js';
import { runMeter, type FlowContext } from '../daemon/run-meter.js';
import { flowJson } from './flow-json.js';
import { LineOutput } from './line-output.js';
import { liveRow, LiveTable } from './live-line.js';
import { LiveSink, type FormatLine } from './live-sink.js';
import {
  CAPTURE_HELP,
  addFilterArgument,
  addMeterOptions,
  addTimingOptions,
  collect,
  type MeterOptionValues,
} from './meter-options.js';
import { notice, type ProgramIo } from './program-io.js';
import { addReadOption } from './replay.js';
import { choiceClauses, liveSummaryLines, meteredText } from './summary-text.js';
import { paintFor } from './terminal-style.js';
import { wideLines } from './wide-lines.js';

interface LiveOptionValues extends MeterOptionValues {
  readonly read?: string;
  readonly json?: boolean;
  readonly wide?: boolean;
}

const DESCRIPTION = `\
Prints each flow as it ends, one line a flow, with the process that it belongs to. The
process of this host stands on the left: -> is what it sent, <- what it received. Between
two processes of this host, as on loopback, the line shows both.`;

const MORE = `
Columns: start of the flow (local time), process[pid], user, addresses and ports,
protocol (ICMP with type/code), IP octets, packets, seconds from first to last packet.
A process that was not found is (unknown), the kernel's own packets are (kernel), and
packets that only pass through this host are (forwarded).

With --wide each process of this host that is known has a line of its own below the flow:
its command line (cut to the width of a terminal), the systemd unit or container that it
runs in, and its parent.

With --json each line is an object with everything that is known of the flow, also what
--wide shows; times are in milliseconds since 1970. Colours are for terminals, and NO_COLOR
switches them off.
${CAPTURE_HELP}

With -r the packets of a capture file are metered, by its own times, and nothing is known of
processes. Ethernet, Linux cooked, raw IP, loopback and PPP can be read.

Examples:
  procflow live                        # everything on every interface
  procflow live --capture sockets      # every container too
  procflow live -i eth0 -i lo
  procflow live udp port 53            # only what the filter matches
  procflow live --wide -i eth0
  procflow live -r capture.pcap        # the flows of a file; -r - reads standard input
  procflow live --json | jq 'select(.sourceProcess.processName == "curl")'

Exit codes:
  0  ended by a signal, by a reader that has enough (| head), or at the end of a file
  1  could not start, or metering broke down, or a file is broken: what stands before is metered
  2  the command line is wrong`;

export function liveCommand(io: ProgramIo): Command {
  const command = new Command('live')
    .summary('print each flow and its process as it ends')
    .description(DESCRIPTION)
    .option(
      '-i, --interface <name>',
      'an interface to meter, several times for several; "any" is all, also those that appear ' +
        'later (default: any)',
      collect,
    )
    .option('--wide', 'print a second line with command line, unit or container, and parent')
    .option('--json', 'print JSON, an object a line');
  addReadOption(command);
  addTimingOptions(command, { activeTimeout: '5', idleTimeout: '2' });
  addFilterArgument(addMeterOptions(command)).addHelpText('after', MORE);
  return command.action(async (filter: string[], options: LiveOptionValues) => {
    const { read } = options;
    if (read === undefined) {
      await runLive(io, options, filter);
      return;
    }
    const { runLiveReplay } = await import('./live-replay.js');
    await runLiveReplay(io, { ...options, read }, filter);
  });
}

async function runLive(
  io: ProgramIo,
  options: LiveOptionValues,
  filter: readonly string[],
): Promise<void> {
  const meter = readMeterConfig({
    ...options,
    filter,
    interface: options.interface ?? (options.capture === 'sockets' ? [] : ['any']),
  });
  const readerLeft = new AbortController();
  const output = new LineOutput(io.out, () => {
    readerLeft.abort();
  });
  const paint = paintFor(io.out, io.env);
  const table = new LiveTable(paint);
  const openSinks = async ({ clock, ...context }: FlowContext): Promise<LiveSink[]> => {
    const format: FormatLine =
      options.json === true
        ? (record, bootEpoch) => flowJson(record, bootEpoch, context.directory)
        : (record, bootEpoch) => {
            const line = table.line(liveRow(record, bootEpoch, context));
            if (options.wide !== true) return line;
            const columns = io.out.columns ?? Infinity;
            const below = wideLines(record, context.directory, columns);
            return [line, ...below.map((text) => paint('dim', text))].join('\n');
          };
    return [new LiveSink(output, clock, format)];
  };
  const summary = await runMeter(meter, openSinks, {
    signal: AbortSignal.any([io.stopSignal(), readerLeft.signal]),
    onNotice: (line) => {
      notice(io, line);
    },
    onMetering: (metered) => {
      notice(io, `metering ${meteredText(metered)}${choiceClauses(meter)}; Ctrl-C ends`);
      if (io.out.isTTY === true && options.json !== true) void output.write([table.header()]);
    },
  });
  if (output.isClosed) return;
  for (const line of liveSummaryLines(summary)) notice(io, line);
}
