// From the options of `export`, procflow's and softflowd's, to what the meter and the exporters are
// told.
import type { CollectorSettingTexts } from '../daemon/collector-settings.js';
import { ConfigError } from '../daemon/config-error.js';
import { readExportConfig, type ExportConfig } from '../daemon/export-config.js';
import { readInterfaceNumbers } from '../daemon/interface-numbers.js';
import { MAX_FLOWS, readMeterConfig, type MeterConfig } from '../daemon/meter-config.js';
import { readInteger } from '../daemon/quantities.js';
import {
  hopLimitNotices,
  readSoftflowdWords,
  type SoftflowdWords,
} from '../daemon/softflowd-settings.js';
import { readReplayConfig, type ReplayConfig } from '../daemon/replay-config.js';
import type { MeterOptionValues } from './meter-options.js';
import type { ExportDefaults } from './program-name.js';

export interface ExportOptionValues extends MeterOptionValues, SoftflowdWords {
  readonly collector?: readonly string[];
  readonly balance?: boolean;
  readonly source?: string;
  readonly spool?: string;
  readonly spoolSize?: string;
  /** A capture file. */
  readonly read?: string;
  readonly control?: string;
  readonly pidfile?: string;
  readonly daemon?: boolean;
  readonly foreground?: boolean;
  readonly verbose?: boolean;
  /** Words of one filter expression. */
  readonly filter?: readonly string[];
}

/** Each in two flows. */
const MAX_CONNECTIONS = MAX_FLOWS / 2;
/** softflowd's timeouts leave nothing to these. */
const ALL_BY_NAME = { activeTimeout: '604800', idleTimeout: '3600' };

interface CommandLine {
  readonly defaults: ExportDefaults;
  /** Whether an option was given, and does not only have its default. */
  readonly isGiven: (name: keyof ExportOptionValues) => boolean;
}

export interface ExportRun {
  /** Of a capture file, where one is to be read. */
  readonly meter: MeterConfig | ReplayConfig;
  readonly config: ExportConfig;
  /** What an operator should know of the options; one line each. */
  readonly notices: readonly string[];
}

/** @throws ConfigError */
export function readSettings(
  options: ExportOptionValues,
  texts: CollectorSettingTexts,
  line: CommandLine,
): ExportRun {
  const { defaults, isGiven } = line;
  const version = texts.version ?? defaults.version;
  const softflowd = readSoftflowdWords(options, {
    version,
    collectors: options.collector ?? [],
    sampling: isGiven('sampling') ? options.sampling : undefined,
    timePrecision: texts.timePrecision,
    isReplay: options.read !== undefined,
    isSoftflowd: defaults.isSoftflowd,
  });
  const { names, numbers } = readInterfaceNumbers(options.interface ?? []);
  const words = {
    ...options,
    ...(defaults.isSoftflowd && ALL_BY_NAME),
    interface: names,
    maxFlows: maxFlows(options.maxFlows, defaults),
    timeout: [...defaults.timeouts, ...(options.timeout ?? [])],
    sampling: softflowd.sampling ?? options.sampling,
  };
  const { read } = options;
  const meter = read === undefined ? readMeterConfig(words) : readReplayConfig({ ...words, read });
  const { collector } = softflowd;
  if (collector.length === 0 && !defaults.isSoftflowd && options.control === undefined) {
    const advice = 'give HOST:PORT, or -c for statistics only; "procflow live" prints the flows';
    throw new ConfigError('-n', 'no collector given', advice);
  }
  // softflowd takes -l with one collector as it takes it with none.
  const isBalanceless = defaults.isSoftflowd && collector.length < 2;
  const notices = [...softflowd.notices];
  if (isBalanceless && options.balance === true) {
    notices.push('-l changes nothing: it is for several collectors');
  }
  notices.push(...backgroundNotices(options, defaults));
  const config = readExportConfig({
    ...(defaults.isSoftflowd && { version }),
    ...texts,
    ...(softflowd.timePrecision !== undefined && { timePrecision: softflowd.timePrecision }),
    collector,
    interfaceNumbers: numbers,
    balance: isBalanceless ? false : options.balance,
    source: options.source,
    spool: options.spool,
    spoolSize: options.spoolSize,
    transport: softflowd.transport,
    hopLimit: softflowd.hopLimit,
    device: softflowd.device,
    isBidirectional: softflowd.isBidirectional,
  });
  const hosts = config.collectors.map(({ address }) =>
    address.scheme === 'udp' ? address.host : undefined,
  );
  notices.push(...hopLimitNotices(softflowd.hopLimit, hosts));
  return { meter, config, notices };
}

/** softflowd's -p and -c mean nothing where it has no daemon. */
function backgroundNotices(options: ExportOptionValues, { isSoftflowd }: ExportDefaults): string[] {
  const { foreground, verbose, read, pidfile, control } = options;
  const isReplay = read !== undefined;
  const lines: string[] = [];
  const isForeground = isSoftflowd && (foreground === true || verbose === true);
  if ((isReplay || isForeground) && pidfile !== undefined) {
    lines.push('-p changes nothing: there is a pid file in the background only');
  }
  if (isReplay && control !== undefined && control !== 'none') {
    lines.push('-c changes nothing: a file is read to its end');
  }
  return lines;
}

/** softflowd counts both directions of a connection as one flow. */
function maxFlows(text: string, { isSoftflowd }: ExportDefaults): string {
  if (!isSoftflowd) return text;
  if (/^0+$/.test(text)) {
    const reason = 'there is no cache without a limit: the kernel makes it in one piece';
    throw new ConfigError(`-m ${text}`, reason, `give the most flows, up to ${MAX_CONNECTIONS}`);
  }
  return String(2 * readInteger(`-m ${text}`, text, 1, MAX_CONNECTIONS));
}
