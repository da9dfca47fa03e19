// procflow export: meters, and sends the flows to a collector.
import { Command, Option } from 'commander';
import {
  COLLECTOR_SETTINGS,
  type CollectorSettingName,
  type CollectorSettingTexts,
} from '../daemon/collector-settings.js';
import { addressText } from '../daemon/collector-address.js';
import { checkSampling, readExportConfig, type CollectorConfig } from '../daemon/export-config.js';
import { readMeterConfig } from '../daemon/meter-config.js';
import { runExporter } from '../daemon/run-meter.js';
import {
  CAPTURE_HELP,
  addFilterArgument,
  addMeterOptions,
  addTimingOptions,
  collect,
  type MeterOptionValues,
} from './meter-options.js';
import { notice, type ProgramIo } from './program-io.js';
import { choiceClauses, exportSummaryLines, meteredText } from './summary-text.js';

interface ExportOptionValues extends MeterOptionValues {
  readonly collector: readonly string[];
  readonly balance?: boolean;
  readonly source?: string;
}

const SETTING_NAMES = Object.keys(COLLECTOR_SETTINGS) as CollectorSettingName[];

const HELP_WIDTH = 95;

const DESCRIPTION = `\
Meters the packets of network interfaces and exports their flows, each with the process
that it belongs to, as NetFlow or IPFIX to one or several collectors. Runs in the foreground
until SIGINT, SIGTERM or SIGHUP; then it exports the flows that it still has and prints a
summary.`;

const MORE = `
Times are in seconds, decimals allowed, or as 10m or 1h30m; octets are those of the IP packets,
headers included. Needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.

A destination is host:port, or one of
  udp://host:port     ?source=ADDRESS  ?device=INTERFACE  ?hops=N (multicast)  ?resolve=TIME
  tcp://host:port     ?source=ADDRESS  ?reconnect=TIME  ?stall=TIME        (IPFIX only)
  tls://host:port     the same, ?ca=FILE ?cert=FILE ?key=FILE ?servername=NAME ?verify=no
  unix:///path        a Unix datagram socket
  file:///path        ?rotate=TIME  ?size=OCTETS: IPFIX files (RFC 5655)
An IPv6 address stands in brackets. What the options above set for all collectors, a parameter
sets for one: 'udp://192.0.2.1:4739?version=10&profile=full'. They are called
${wrapped(SETTING_NAMES.map((name) => COLLECTOR_SETTINGS[name].parameter))}.
Quote a destination with parameters for the shell.
${CAPTURE_HELP}

Examples:
  # NetFlow v9 of one interface to a collector on this host
  procflow export -i eth0 -n 127.0.0.1:9995 -v 9

  # IPFIX of all interfaces, present and future, to a collector with an IPv6 address
  procflow export -i any -n [2001:db8::1]:4739 -v 10

  # to two collectors, each in its format
  procflow export -i any -n 127.0.0.1:9995 -n 'tcp://192.0.2.1:4739?version=10&profile=full'

  # to files, a new one every five minutes
  procflow export -i any -n 'file:///var/lib/flows/flows.ipfix?version=10&rotate=5m'

  # a container's network namespace, told apart by its observation domain
  procflow export -i eth0 --netns web -n 192.0.2.1:4739 -v 10 --observation-domain 7

  # with the parent, the command line and the container of each process
  procflow export -i any -n 192.0.2.1:4739 -v 10 --profile full

  # only name resolution
  procflow export -i any -n 127.0.0.1:9995 udp port 53

  # the sockets of all containers, in whatever network namespace
  procflow export --capture sockets -n 192.0.2.1:4739 -v 10

Exit codes:
  0  ended by a signal, all in good order
  1  could not start, or metering broke down
  2  the command line is wrong`;

/** Words in lines of the help's width. */
function wrapped(words: readonly string[]): string {
  const lines: string[] = [''];
  for (const [i, word] of words.entries()) {
    const text = i === words.length - 1 ? word : `${word}, `;
    if (`${lines.at(-1) ?? ''}${text}`.trimEnd().length > HELP_WIDTH) lines.push('');
    lines.push(`${lines.pop() ?? ''}${text}`);
  }
  return lines.map((line) => line.trimEnd()).join('\n');
}

export function exportCommand(io: ProgramIo): Command {
  const command = new Command('export')
    .summary('meter interfaces and export their flows to a collector')
    .description(DESCRIPTION)
    .option(
      '-i, --interface <name>',
      'an interface to meter, several times for several, required but with --capture sockets; ' +
        '"any" is all, also those that appear later',
      collect,
    )
    .requiredOption(
      '-n, --collector <destination>',
      'where to send the flows, see below; several times for several collectors',
      collect,
    )
    .option('--balance', 'send each flow to one of the collectors, and not to all');
  addTimingOptions(command, { activeTimeout: '60', idleTimeout: '15' }).option(
    '--source <address[:port]>',
    'send from this address of the host (default: by route)',
  );
  for (const name of SETTING_NAMES) command.addOption(settingOption(name));
  addFilterArgument(addMeterOptions(command)).addHelpText('after', MORE);
  return command.action((filter: string[], options: ExportOptionValues) =>
    runExport(io, { ...options, filter }, command),
  );
}

function settingOption(name: CollectorSettingName): Option {
  const setting = COLLECTOR_SETTINGS[name];
  // Told and not set: what a collector's own parameter says must not be taken for the default.
  const usual = 'initial' in setting ? ` (default: ${setting.initial})` : '';
  return new Option(setting.flags, `${setting.help}${usual}`);
}

/** The settings for all collectors that were given. */
function settingTexts(command: Command): CollectorSettingTexts {
  const values: Readonly<Record<string, unknown>> = command.opts();
  const texts = SETTING_NAMES.map((name) => {
    const value = values[settingOption(name).attributeName()];
    // A switch without a word.
    return [name, value === true ? 'yes' : value];
  });
  return Object.fromEntries(
    texts.filter(([, text]) => text !== undefined),
  ) as CollectorSettingTexts;
}

async function runExport(
  io: ProgramIo,
  options: ExportOptionValues & { readonly filter: readonly string[] },
  command: Command,
): Promise<void> {
  const meter = readMeterConfig({ ...options, interface: options.interface ?? [] });
  const { collector, balance, source } = options;
  const config = readExportConfig({ ...settingTexts(command), collector, balance, source });
  checkSampling(config, meter.sampling);
  const summary = await runExporter(meter, config, {
    signal: io.stopSignal(),
    onNotice: (line) => {
      notice(io, line);
    },
    onMetering: (metered) => {
      const where = config.collectors.map(collectorText).join(', ');
      notice(io, `metering ${meteredText(metered)}${choiceClauses(meter)}; ${where}; Ctrl-C ends`);
    },
  });
  for (const line of exportSummaryLines(summary)) notice(io, line);
}

/** "NetFlow v9 to 192.0.2.1:9995" */
function collectorText({ version, address }: CollectorConfig): string {
  const format = version === 10 ? 'IPFIX' : `NetFlow v${version}`;
  return `${format} to ${addressText(address).replace(/^udp:\/\//, '')}`;
}
