// What a metering session is told to do: from the words of a command line to checked values.
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { DEFAULT_MAX_MESSAGE_OCTETS } from '../exporter/exporting-process.js';
import type { NonProcessNames } from '../flow/non-process-names.js';
import type { Sampling } from '../flow/sampling.js';
import type { TemplateProfile } from '../templates/flow-fields.js';
import { readCapture, type CaptureConfig, type CaptureSettings } from './capture-config.js';
import { ConfigError, alternatives } from './config-error.js';
import { readSampling } from './sampling-config.js';

export type MeterConfig = MeterLimits & CaptureConfig;

interface MeterLimits {
  readonly activeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxFlows: number;
  readonly sampling: Sampling;
  readonly cgroup?: string;
  readonly nonProcessNames: NonProcessNames;
}

export interface ExportConfig {
  readonly version: ExportVersion;
  readonly collector: Endpoint;
  readonly source?: { readonly address: string; readonly port?: number };
  readonly observationDomainId: number;
  readonly templateRefreshMs: number;
  readonly maxMessageOctets: number;
  readonly profile: TemplateProfile;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export const TEMPLATE_PROFILES = [
  'process',
  'full',
  'standard',
] as const satisfies readonly TemplateProfile[];

export type ExportVersion = 9 | 10;

/** The settings of a meter as text. */
export interface MeterSettings extends CaptureSettings {
  readonly activeTimeout: string;
  readonly idleTimeout: string;
  readonly maxFlows: string;
  readonly sampling: string;
  readonly attach: string;
  readonly kernelName: string;
  readonly forwardedName: string;
  readonly unknownName: string;
  readonly netns?: string | undefined;
  readonly cgroup?: string | undefined;
}

export interface ExportSettings {
  readonly collector: string;
  readonly exportVersion: string;
  readonly observationDomain: string;
  readonly templateRefresh: string;
  readonly profile: string;
  readonly source?: string | undefined;
}

/** [bracketed] or plain host, and the port if there is one. */
const HOST_AND_PORT = /^(?:\[([^\]]*)\]|([^:[\]\s]+))(?::(\d+))?$/;
const MAX_TIMEOUT_S = 7 * 24 * 3600;
const MIN_TIMEOUT_S = 0.1;
/** As many as a process name has: v9 exports it in 16 with a NUL at the end. */
const MAX_NAME_OCTETS = 15;
/** What the exporter or the terminal would replace: controls, format characters, quote, backslash. */
const UNFIT_FOR_NAMES = /[\p{C}\p{Zl}\p{Zp}"\\]/u;

/** @throws ConfigError */
export function readMeterConfig(settings: MeterSettings): MeterConfig {
  const { cgroup } = settings;
  if (cgroup !== undefined && !cgroup.startsWith('/')) {
    const advice = 'give the path of a cgroup v2 directory, such as /sys/fs/cgroup/system.slice';
    throw new ConfigError(`--cgroup ${cgroup}`, 'is not an absolute path', advice);
  }
  return {
    ...readCapture(settings),
    activeTimeoutMs: readTimeoutMs('--active-timeout', settings.activeTimeout),
    idleTimeoutMs: readTimeoutMs('--idle-timeout', settings.idleTimeout),
    maxFlows: readInteger('--max-flows', settings.maxFlows, 1, 2 ** 24),
    sampling: readSampling(settings.sampling),
    nonProcessNames: {
      kernel: readName('--kernel-name', settings.kernelName),
      forwarded: readName('--forwarded-name', settings.forwardedName),
      unknown: readName('--unknown-name', settings.unknownName),
    },
    ...(cgroup !== undefined && { cgroup }),
  };
}

/** @throws ConfigError */
export function readExportConfig(settings: ExportSettings): ExportConfig {
  const collector = readCollector(settings.collector);
  const source = settings.source === undefined ? undefined : readSource(settings.source);
  if (source !== undefined && isIP(collector.host) !== 0) {
    if (isIP(collector.host) !== isIP(source.address)) {
      const reason = `is of another IP version than the collector ${collector.host}`;
      throw new ConfigError(`--source ${source.address}`, reason, 'use two of the same version');
    }
  }
  return {
    version: readVersion(settings.exportVersion),
    collector,
    observationDomainId: readInteger(
      '--observation-domain',
      settings.observationDomain,
      0,
      0xffffffff,
    ),
    templateRefreshMs: readTimeoutMs('--template-refresh', settings.templateRefresh, 1),
    maxMessageOctets: DEFAULT_MAX_MESSAGE_OCTETS,
    profile: readProfile(settings.profile),
    ...(source !== undefined && { source }),
  };
}

function readTimeoutMs(option: string, text: string, minS = MIN_TIMEOUT_S): number {
  const seconds = /^\d+(\.\d+)?$|^\.\d+$/.test(text) ? Number(text) : NaN;
  if (!(seconds >= minS && seconds <= MAX_TIMEOUT_S)) {
    const reason = Number.isNaN(seconds) ? 'is not a number of seconds' : 'is out of range';
    const advice = `give seconds from ${minS} to ${MAX_TIMEOUT_S}, such as 15 or 2.5`;
    throw new ConfigError(`${option} ${text}`, reason, advice);
  }
  return Math.round(seconds * 1000);
}

function readInteger(option: string, text: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    const reason = Number.isNaN(value) ? 'is not a whole number' : 'is out of range';
    throw new ConfigError(`${option} ${text}`, reason, `give one from ${min} to ${max}`);
  }
  return value;
}

/** What is exported as process name where there is no process; may be empty. */
function readName(option: string, text: string): string {
  const advice = `give up to ${MAX_NAME_OCTETS} octets, such as "(none)"; "" exports no name`;
  if (UNFIT_FOR_NAMES.test(text)) {
    throw new ConfigError(option, 'has a quote, a backslash or a control character', advice);
  }
  if (Buffer.byteLength(text) > MAX_NAME_OCTETS) {
    throw new ConfigError(`${option} ${text}`, `has more than ${MAX_NAME_OCTETS} octets`, advice);
  }
  return text;
}

function readProfile(text: string): TemplateProfile {
  const profile = TEMPLATE_PROFILES.find((known) => known === text);
  if (profile !== undefined) return profile;
  const advice = `give ${alternatives(TEMPLATE_PROFILES)}`;
  throw new ConfigError(`--profile ${text}`, 'no such set of fields', advice);
}

function readVersion(text: string): ExportVersion {
  if (text === '9') return 9;
  if (text === '10') return 10;
  const advice = 'give 9 for NetFlow v9 or 10 for IPFIX';
  throw new ConfigError(`-v ${text}`, 'no such export version', advice);
}

/** "host:port", "192.0.2.1:9995" or "[2001:db8::1]:9995". */
function readCollector(text: string): Endpoint {
  const advice = 'give HOST:PORT, such as 192.0.2.1:9995 or [2001:db8::1]:9995';
  const setting = `-n ${text}`;
  if (isIPv6(text)) {
    throw new ConfigError(setting, 'where the address ends and the port begins is unclear', advice);
  }
  const match = HOST_AND_PORT.exec(text);
  if (match === null) throw new ConfigError(setting, 'is not an address with a port', advice);
  const [, bracketed, plain, portText] = match;
  if (bracketed !== undefined && !isIPv6(bracketed)) {
    throw new ConfigError(setting, `${bracketed} is not an IPv6 address`, advice);
  }
  const host = bracketed ?? plain ?? '';
  if (/^[\d.]+$/.test(host) && !isIPv4(host)) {
    throw new ConfigError(setting, `${host} is not an IPv4 address`, advice);
  }
  if (portText === undefined) throw new ConfigError(setting, 'has no port', advice);
  return { host, port: readPort(setting, portText) };
}

/** An address of this host, alone or with a port: the messages are sent from there. */
function readSource(text: string): { address: string; port?: number } {
  if (isIP(text) !== 0) return { address: text };
  const setting = `--source ${text}`;
  const match = HOST_AND_PORT.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  if (isIP(address) === 0) {
    const advice = 'give an address of this host, such as 192.0.2.7 or [2001:db8::7]:2055';
    throw new ConfigError(setting, 'is not an IP address', advice);
  }
  const portText = match?.[3];
  return portText === undefined ? { address } : { address, port: readPort(setting, portText) };
}

function readPort(setting: string, text: string): number {
  const port = Number(text);
  if (port >= 1 && port <= 65535) return port;
  throw new ConfigError(setting, `${text} is not a port`, 'ports are numbers from 1 to 65535');
}
