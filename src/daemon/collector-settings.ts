// What can be set for each collector: one table from which the options of the command line, the
// parameters of a collector's address and their checks are made.
import { DEFAULT_MESSAGES_PER_SECOND } from '../exporter/delivery/pacer.js';
import { DEFAULT_BACKLOG_OCTETS, DEFAULT_OPTIONS_PERIOD_MS } from '../exporter/export-options.js';
import type { TemplateProfile, TimePrecision } from '../templates/flow-fields.js';
import { OPTIONS_KINDS, type OptionsKind } from '../templates/options-templates.js';
import type { ExportVersion } from '../templates/flow-template.js';
import {
  PLACEHOLDERS,
  parseProcessTextFormat,
  type ProcessTextFormat,
} from '../templates/process-text-format.js';
import { TemplateError } from '../templates/template-error.js';
import { ConfigError, alternatives } from './config-error.js';
import { readDurationMs, readInteger, readOctets, readSwitch } from './quantities.js';

interface CollectorSetting<Value> {
  /** In a collector's address: ?version=10 */
  readonly parameter: string;
  /** On the command line, for all collectors that do not say otherwise. */
  readonly flags: string;
  readonly help: string;
  /** Undefined where nothing is the default. */
  readonly initial?: string;
  /** @throws ConfigError */
  readonly read: (setting: string, text: string) => Value;
}

const MAX_PERIOD_S = 7 * 24 * 3600;
const MAX_WORD = 2 ** 32 - 1;

export const TEMPLATE_PROFILES = [
  'process',
  'full',
  'standard',
] as const satisfies readonly TemplateProfile[];
const TIME_PRECISIONS: ReadonlyMap<string, TimePrecision> = new Map([
  ['ms', 'milliseconds'],
  ['us', 'microseconds'],
  ['ns', 'nanoseconds'],
]);
const VERSIONS: readonly ExportVersion[] = [1, 5, 9, 10];

export const COLLECTOR_SETTINGS = {
  version: {
    parameter: 'version',
    flags: '-v, --export-version <1|5|9|10>',
    help: 'NetFlow v1, v5 or v9, or 10 for IPFIX; v1 and v5 have IPv4 only and no processes',
    initial: '9',
    read: readVersion,
  },
  profile: {
    parameter: 'profile',
    flags: `--profile <${TEMPLATE_PROFILES.join('|')}>`,
    help:
      'fields of a flow: full adds parent, command line and container of its process; standard ' +
      'has no enterprise elements, for collectors that refuse them',
    initial: 'process',
    read: readProfile,
  },
  elements: {
    parameter: 'elements',
    flags: '--elements <list|@file>',
    help: 'these Information Elements in the place of a profile, by name, in this order',
    // Which there are depends on the version.
    read: (setting: string, text: string) => ({ setting, text }),
  },
  nameFormat: {
    parameter: 'name',
    flags: '--name-format <format>',
    help: `what stands for a process in netflow9UserName (40000) and applicationName; of ${PLACEHOLDERS}`,
    initial: '{comm}',
    read: readFormat,
  },
  userFormat: {
    parameter: 'user',
    flags: '--user-format <format>',
    help: 'what stands in userName (371)',
    initial: '{user}',
    read: readFormat,
  },
  nfdumpAppname: {
    parameter: 'nfdump-appname',
    flags: '--nfdump-appname [yes|no]',
    help: 'tell nfdump the name in IPFIX too, as that of an application (nfdump -o fmt:%nbnam)',
    initial: 'no',
    read: readSwitch,
  },
  timePrecision: {
    parameter: 'time',
    flags: '--time-precision <ms|us|ns>',
    help: 'how finely IPFIX tells the times of flows; nfdump reads ms only',
    initial: 'ms',
    read: readTimePrecision,
  },
  biflow: {
    parameter: 'biflow',
    flags: '--biflow [yes|no]',
    help: 'join both directions of a connection into one record (RFC 5103, IPFIX only)',
    initial: 'no',
    read: readSwitch,
  },
  observationDomain: {
    parameter: 'domain',
    flags: '--observation-domain <number>',
    help: "the exporter's id (v9: source id; v5: engine); default: by what is metered",
    read: (setting: string, text: string) => readInteger(setting, text, 0, MAX_WORD),
  },
  templateRefresh: {
    parameter: 'template-refresh',
    flags: '--template-refresh <time>',
    help: 'templates are sent again this often, over UDP',
    initial: '60',
    read: (setting: string, text: string) => readDurationMs(setting, text, 1, MAX_PERIOD_S),
  },
  templateRefreshMessages: {
    parameter: 'template-refresh-messages',
    flags: '--template-refresh-messages <number>',
    help: 'and after so many messages (default: by time alone)',
    read: (setting: string, text: string) => readInteger(setting, text, 1, MAX_WORD),
  },
  options: {
    parameter: 'options',
    flags: '--options <kinds>',
    help: `what collectors are told besides flows: all, none, or some of ${[...OPTIONS_KINDS].join(', ')}`,
    initial: 'all',
    read: readOptionsKinds,
  },
  optionsPeriod: {
    parameter: 'options-period',
    flags: '--options-period <time>',
    help: 'options records are sent again this often',
    initial: String(DEFAULT_OPTIONS_PERIOD_MS / 1000),
    read: (setting: string, text: string) => readDurationMs(setting, text, 1, MAX_PERIOD_S),
  },
  messageOctets: {
    parameter: 'message-octets',
    flags: '--message-octets <number>',
    help: 'messages have at most so many (default: 1372 in datagrams, 16384 otherwise)',
    read: (setting: string, text: string) => readInteger(setting, text, 64, 65535),
  },
  rate: {
    parameter: 'rate',
    flags: '--rate <number>',
    help: `most messages a second over UDP (default: ${DEFAULT_MESSAGES_PER_SECOND}; to a collector on this host, what it takes)`,
    read: (setting: string, text: string) => readInteger(setting, text, 1, 1_000_000),
  },
  backlog: {
    parameter: 'backlog',
    flags: '--backlog <octets>',
    help: 'messages that wait for a collector; what does not fit is lost and counted',
    initial: `${DEFAULT_BACKLOG_OCTETS / 2 ** 20}M`,
    read: (setting: string, text: string) => readOctets(setting, text, 65536, 2 ** 36),
  },
} as const satisfies Readonly<Record<string, CollectorSetting<unknown>>>;

export type CollectorSettingName = keyof typeof COLLECTOR_SETTINGS;

/** The settings as text, of the command line. */
export type CollectorSettingTexts = Readonly<Partial<Record<CollectorSettingName, string>>>;

/** Those without a default may be undefined. */
export type CollectorValues = {
  readonly [Name in CollectorSettingName]:
    | ReturnType<(typeof COLLECTOR_SETTINGS)[Name]['read']>
    | ((typeof COLLECTOR_SETTINGS)[Name] extends { initial: string } ? never : undefined);
};

const NAMES = Object.keys(COLLECTOR_SETTINGS) as CollectorSettingName[];

/**
 * @param collector the -n that they are for, for error messages
 * @param texts of the command line, for all collectors
 * @param parameters of the collector's address, which go first
 * @param others names of parameters that the address itself has, for error messages
 * @throws ConfigError
 */
export function readCollectorValues(
  collector: string,
  texts: CollectorSettingTexts,
  parameters: ReadonlyMap<string, string>,
  others: readonly string[],
): CollectorValues {
  const known = NAMES.map((name) => COLLECTOR_SETTINGS[name].parameter as string);
  for (const key of parameters.keys()) {
    if (known.includes(key)) continue;
    const advice = `it has ${alternatives([...others, ...known])}`;
    throw new ConfigError(`-n ${collector}`, `no such parameter: ${key}`, advice);
  }
  const values = NAMES.map((name) => {
    const setting: CollectorSetting<unknown> = COLLECTOR_SETTINGS[name];
    const own = parameters.get(setting.parameter);
    if (own !== undefined) {
      return [name, setting.read(`-n ${collector}: ${setting.parameter} ${own}`, own)];
    }
    const text = texts[name] ?? setting.initial;
    if (text === undefined) return [name, undefined];
    return [name, setting.read(`${optionName(setting.flags)} ${text}`, text)];
  });
  return Object.fromEntries(values) as CollectorValues;
}

/** "-v" of "-v, --export-version <1|5>", "--rate" of "--rate <number>" */
function optionName(flags: string): string {
  return /^[\w-]+/.exec(flags)?.[0] ?? flags;
}

function readVersion(setting: string, text: string): ExportVersion {
  const version = VERSIONS.find((known) => String(known) === text);
  if (version !== undefined) return version;
  const advice = 'give 1, 5 or 9 for NetFlow, or 10 for IPFIX';
  throw new ConfigError(setting, 'no such export version', advice);
}

function readProfile(setting: string, text: string): TemplateProfile {
  const profile = TEMPLATE_PROFILES.find((known) => known === text);
  if (profile !== undefined) return profile;
  throw new ConfigError(
    setting,
    'no such set of fields',
    `give ${alternatives(TEMPLATE_PROFILES)}`,
  );
}

function readFormat(setting: string, text: string): ProcessTextFormat {
  return asConfig(setting, () => parseProcessTextFormat(text));
}

/** What the templates' own parsers refuse is a wrong setting here. */
export function asConfig<Value>(setting: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new ConfigError(setting, error.reason, error.advice);
  }
}

function readOptionsKinds(setting: string, text: string): ReadonlySet<OptionsKind> {
  if (text === 'all') return OPTIONS_KINDS;
  const kinds = new Set<OptionsKind>();
  if (text === 'none') return kinds;
  for (const word of text.split(',')) {
    const kind = [...OPTIONS_KINDS].find((known) => known === word.trim());
    if (kind === undefined) {
      const advice = `give ${alternatives(['all', 'none', ...OPTIONS_KINDS])}`;
      throw new ConfigError(setting, `no such kind: ${word}`, advice);
    }
    kinds.add(kind);
  }
  return kinds;
}

function readTimePrecision(setting: string, text: string): TimePrecision {
  const precision = TIME_PRECISIONS.get(text);
  if (precision !== undefined) return precision;
  throw new ConfigError(setting, 'no such precision', 'give ms, us or ns');
}
