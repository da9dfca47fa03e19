// procflow export: meters, and sends the flows to a collector.
import { Command } from 'commander';
import { readExportConfig, readMeterConfig, TEMPLATE_PROFILES } from '../daemon/meter-config.js';
import { runExporter } from '../daemon/run-meter.js';
import {
  CAPTURE_HELP,
  addMeterOptions,
  addTimingOptions,
  collect,
  withDefault,
  type MeterOptionValues,
} from './meter-options.js';
import { notice, type ProgramIo } from './program-io.js';
import { exportSummaryLines, meteredText } from './summary-text.js';

interface ExportOptionValues extends MeterOptionValues {
  readonly collector: string;
  readonly exportVersion: string;
  readonly observationDomain: string;
  readonly templateRefresh: string;
  readonly profile: string;
  readonly source?: string;
}

const DESCRIPTION = `\
Meters the packets of network interfaces and exports their flows, each with the process
that it belongs to, as NetFlow v9 or IPFIX over UDP. Runs in the foreground until SIGINT,
SIGTERM or SIGHUP; then it exports the flows that it still has and prints a summary.`;

const MORE = `
Times are in seconds, decimals allowed; octets are those of the IP packets, headers
included. Needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.
${CAPTURE_HELP}

Examples:
  # NetFlow v9 of one interface to a collector on this host
  procflow export -i eth0 -n 127.0.0.1:9995 -v 9

  # IPFIX of all interfaces, present and future, to a collector with an IPv6 address
  procflow export -i any -n [2001:db8::1]:4739 -v 10

  # a container's network namespace, told apart by its observation domain
  procflow export -i eth0 --netns web -n 192.0.2.1:4739 -v 10 --observation-domain 7

  # with the parent, the command line and the container of each process
  procflow export -i any -n 192.0.2.1:4739 -v 10 --profile full

  # the sockets of all containers, in whatever network namespace
  procflow export --capture sockets -n 192.0.2.1:4739 -v 10

Exit codes:
  0  ended by a signal, all in good order
  1  could not start, or metering broke down
  2  the command line is wrong`;

export function exportCommand(io: ProgramIo): Command {
  const command = new Command('export')
    .summary('meter interfaces and export their flows to a collector')
    .description(DESCRIPTION)
    .option(
      '-i, --interface <name...>',
      'interfaces to meter, required but with --capture sockets; "any" is all, also those that ' +
        'appear later',
      collect,
    )
    .requiredOption(
      '-n, --collector <host:port>',
      'where to send the flows; an IPv6 address in brackets',
    )
    .addOption(withDefault('-v, --export-version <9|10>', '9 is NetFlow v9, 10 is IPFIX', '9'));
  addTimingOptions(command, { activeTimeout: '60', idleTimeout: '15' })
    .option('--source <address[:port]>', 'send from this address of the host (default: by route)')
    .addOption(
      withDefault('--observation-domain <number>', "the exporter's id (v9: source id)", '0'),
    )
    .addOption(
      withDefault('--template-refresh <seconds>', 'templates are sent again this often', '60'),
    )
    .addOption(
      withDefault(
        `--profile <${TEMPLATE_PROFILES.join('|')}>`,
        'fields of a flow: full adds parent, command line and container of its process; standard ' +
          'has no enterprise elements, for collectors that refuse them',
        'process',
      ),
    );
  addMeterOptions(command).addHelpText('after', MORE);
  return command.action((options: ExportOptionValues) => runExport(io, options));
}

async function runExport(io: ProgramIo, options: ExportOptionValues): Promise<void> {
  const meter = readMeterConfig({ ...options, interface: options.interface ?? [] });
  const config = readExportConfig(options);
  const summary = await runExporter(meter, config, {
    signal: io.stopSignal(),
    onNotice: (line) => {
      notice(io, line);
    },
    onMetering: (metered) => {
      const format = config.version === 9 ? 'NetFlow v9' : 'IPFIX';
      const where = `${format} to ${options.collector}`;
      notice(io, `metering ${meteredText(metered)}; ${where}; Ctrl-C ends`);
    },
  });
  for (const line of exportSummaryLines(summary)) notice(io, line);
}
