// procflow export: meters, and sends the flows to a collector.
import { Command, Option } from 'commander';
import {
  COLLECTOR_SETTINGS,
  type CollectorSettingName,
  type CollectorSettingTexts,
} from '../daemon/collector-settings.js';
import { addressText } from '../daemon/collector-address.js';
import { checkSampling, type CollectorConfig, type ExportConfig } from '../daemon/export-config.js';
import type { ReplayConfig } from '../daemon/replay-config.js';
import { DEFAULT_SPOOL_SIZE } from '../daemon/spool.js';
import { runExporter, type MeterHooks } from '../daemon/run-meter.js';
import {
  addControlOptions,
  goneToBackground,
  readControl,
  runWithPidFile,
} from './control-options.js';
import {
  EXPORT_DESCRIPTION,
  EXPORT_HELP,
  SOFTFLOWD_DESCRIPTION,
  SOFTFLOWD_HELP,
} from './export-help.js';
import { readSettings, type ExportOptionValues } from './export-settings.js';
import { addFilterArgument, addMeterOptions, addTimingOptions, collect } from './meter-options.js';
import { notice, type ProgramIo } from './program-io.js';
import {
  ProgressLine,
  addReadOption,
  exportReplaySummaryLines,
  replayText,
  reportReplay,
} from './replay.js';
import { EXPORT_DEFAULTS, type ExportDefaults } from './program-name.js';
import { addSoftflowdOptions } from './softflowd-options.js';
import { choiceClauses, exportSummaryLines, meteredText } from './summary-text.js';

const SETTING_NAMES = Object.keys(COLLECTOR_SETTINGS) as CollectorSettingName[];

export function exportCommand(io: ProgramIo, defaults: ExportDefaults = EXPORT_DEFAULTS): Command {
  const { isSoftflowd } = defaults;
  const command = new Command(isSoftflowd ? 'softflowd' : 'export')
    .summary('meter interfaces and export their flows to a collector')
    .description(isSoftflowd ? SOFTFLOWD_DESCRIPTION : EXPORT_DESCRIPTION)
    .option(
      '-i, --interface <[number:]name>',
      'interface to meter, repeatable, required but with --capture sockets; "any" is all, also ' +
        'those that appear later; with a number, collectors know it by that',
      collect,
    );
  addReadOption(command)
    .option(
      '-n, --collector <destination>',
      'where to send the flows, see below; several times, or host:port,host:port, for several ' +
        'collectors',
      collect,
    )
    .option('-l, --balance', 'send each flow to one of the collectors, and not to all')
    .option('-d, --foreground', 'run in the foreground')
    .option('-D, --verbose', 'run in the foreground, with -6 and --debug')
    .on('option:verbose', io.setDebug);
  const timing = isSoftflowd ? undefined : { activeTimeout: '60', idleTimeout: '15' };
  addTimingOptions(command, timing).option(
    '--source <address[:port]>',
    'send from this address of the host (default: by route)',
  );
  addSpoolOptions(command);
  for (const name of SETTING_NAMES) command.addOption(settingOption(name, defaults));
  addControlOptions(command, defaults);
  addFilterArgument(addMeterOptions(command, defaults));
  addSoftflowdOptions(command).addHelpText('after', isSoftflowd ? SOFTFLOWD_HELP : EXPORT_HELP);
  return command.action((filter: string[], options: ExportOptionValues) =>
    runExport(io, { ...options, filter }, command, defaults),
  );
}

function addSpoolOptions(command: Command): void {
  command
    .option(
      '--spool <directory>',
      'keep messages for TCP and TLS collectors there, while they are away and over a restart',
    )
    .option(
      '--spool-size <octets>',
      `of the disk, for each of them; what does not fit is lost and counted (default: ${DEFAULT_SPOOL_SIZE})`,
    );
}

function settingOption(name: CollectorSettingName, { version }: ExportDefaults): Option {
  const setting = COLLECTOR_SETTINGS[name];
  // Told and not set: what a collector's own parameter says must not be taken for the default.
  const initial = 'initial' in setting ? setting.initial : undefined;
  const told = name === 'version' ? version : initial;
  const usual = told === undefined ? '' : ` (default: ${told})`;
  return new Option(setting.flags, `${setting.help}${usual}`);
}

/** The settings for all collectors that were given. */
function settingTexts(command: Command, defaults: ExportDefaults): CollectorSettingTexts {
  const values: Readonly<Record<string, unknown>> = command.opts();
  const texts = SETTING_NAMES.map((name) => {
    const value = values[settingOption(name, defaults).attributeName()];
    // A switch without a word.
    return [name, value === true ? 'yes' : value];
  });
  return Object.fromEntries(
    texts.filter(([, text]) => text !== undefined),
  ) as CollectorSettingTexts;
}

async function runExport(
  io: ProgramIo,
  options: ExportOptionValues,
  command: Command,
  defaults: ExportDefaults,
): Promise<void> {
  const { meter, config, notices } = readSettings(options, settingTexts(command, defaults), {
    defaults,
    isGiven: (name) => command.getOptionValueSource(name) === 'cli',
  });
  checkSampling(config, meter.sampling);
  const isDaemon = isInBackground(options, defaults);
  if (await goneToBackground(io, isDaemon)) return;
  for (const line of notices) notice(io, line);
  if ('file' in meter) {
    await runReplayed(io, meter, config);
    return;
  }
  const hooks: MeterHooks = {
    signal: io.stopSignal(),
    control: readControl(
      options.control ?? defaults.control,
      defaults.isSoftflowd ? 'softflowd' : 'procflow',
    ),
    onNotice: (line) => {
      notice(io, line);
    },
    onMetering: (metered) => {
      const what = `${meteredText(metered)}${choiceClauses(meter)}`;
      const how = io.daemon === undefined ? 'Ctrl-C ends' : `process ${process.pid}`;
      notice(io, `metering ${what}; ${collectorsText(config)}; ${how}`);
      io.daemon?.becomeReady();
    },
  };
  const summary = await runWithPidFile(pidFile(options, defaults, isDaemon), () =>
    runExporter(meter, config, hooks),
  );
  for (const line of exportSummaryLines(summary)) notice(io, line);
}

/** softflowd goes there unless it is told not to, or reads a file. */
function isInBackground(
  { daemon, foreground, verbose, read }: ExportOptionValues,
  { isSoftflowd }: ExportDefaults,
): boolean {
  if (foreground === true || verbose === true || read !== undefined) return false;
  return daemon ?? isSoftflowd;
}

/** softflowd has one in the background only. */
function pidFile(
  { pidfile }: ExportOptionValues,
  { isSoftflowd, pidFile: usual }: ExportDefaults,
  isDaemon: boolean,
): string | undefined {
  return isDaemon || !isSoftflowd ? (pidfile ?? (isDaemon ? usual : undefined)) : undefined;
}

/** Exports the flows of a capture file. */
async function runReplayed(
  io: ProgramIo,
  replay: ReplayConfig,
  config: ExportConfig,
): Promise<void> {
  const progress = new ProgressLine(io, true);
  const say = (line: string): void => {
    progress.clear();
    notice(io, line);
  };
  const { runReplayExporter } = await import('../daemon/run-replay.js');
  const summary = await runReplayExporter(replay, config, {
    signal: io.stopSignal(),
    onNotice: say,
    onProgress: (done) => {
      progress.update(done);
    },
    onMetering: (file) => {
      say(`metering ${replayText(file)}${choiceClauses(replay)}; ${collectorsText(config)}`);
    },
  });
  progress.clear();
  reportReplay(io, exportReplaySummaryLines(summary), summary);
}

function collectorsText({ collectors }: ExportConfig): string {
  const where = collectors.map(collectorText).join(', ');
  return where === '' ? 'statistics only' : where;
}

/** "NetFlow v9 to 192.0.2.1:9995" */
function collectorText({ version, address }: CollectorConfig): string {
  const format = version === 10 ? 'IPFIX' : `NetFlow v${version}`;
  return `${format} to ${addressText(address).replace(/^udp:\/\//, '')}`;
}
