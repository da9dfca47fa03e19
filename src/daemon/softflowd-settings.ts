// softflowd's options in procflow's words: which settings they stand for, what has to be said of
// those that change nothing here, and which of them cannot be had.
import { isIP, isIPv6 } from 'node:net';
import { MAX_HOPS } from './collector-address.js';
import { ConfigError, alternatives } from './config-error.js';
import { readInteger } from './quantities.js';

/** As they stand on the command line; a flag is true where it was given. */
export interface SoftflowdWords {
  readonly ipv6?: boolean;
  readonly promiscuous?: boolean;
  readonly adjustTime?: boolean;
  readonly threads?: boolean;
  readonly bidirectional?: boolean;
  readonly bufferOctets?: string;
  readonly captureOctets?: string;
  readonly mplsLabels?: string;
  readonly receivePort?: string;
  readonly sampleRate?: string;
  readonly transport?: string;
  readonly timeFormat?: string;
  readonly hopLimit?: string;
  readonly sendInterface?: string;
}

/** What else is on the command line. */
export interface SoftflowdContext {
  /** -v, or what holds without it. */
  readonly version: string;
  /** -n: each may be a list. */
  readonly collectors: readonly string[];
  /** --sampling, unless it is the default. */
  readonly sampling?: string | undefined;
  /** --time-precision, unless it is the default. */
  readonly timePrecision?: string | undefined;
  /** Packets come from a capture file. */
  readonly isReplay: boolean;
  /** The program was started under softflowd's name. */
  readonly isSoftflowd: boolean;
}

export interface SoftflowdSettings {
  readonly collector: readonly string[];
  readonly isBidirectional: boolean;
  readonly transport?: 'udp' | 'tcp';
  readonly hopLimit?: string;
  readonly device?: string;
  readonly timePrecision?: string;
  readonly sampling?: string;
  /** For the operator: what was accepted and changes nothing; one line each. */
  readonly notices: readonly string[];
}

const MAX_SAMPLE_RATE = 2 ** 24;
const MAX_MPLS_LABELS = 10;
const MAX_OCTETS = 2 ** 31 - 1;
/** In the times of IPFIX; seconds would only be cut milliseconds. */
const TIME_FORMATS: ReadonlyMap<string, string> = new Map([
  ['sec', 'ms'],
  ['milli', 'ms'],
  ['micro', 'us'],
  ['nano', 'ns'],
]);
const INSTEAD = 'leave it out, or use softflowd for it';

/** @throws ConfigError */
export function readSoftflowdWords(
  words: SoftflowdWords,
  context: SoftflowdContext,
): SoftflowdSettings {
  refuseUnsupported(words, context);
  const { hopLimit } = words;
  // Also where no collector will have it.
  if (hopLimit !== undefined) readInteger(`-L ${hopLimit}`, hopLimit, 0, MAX_HOPS);
  const transport = readTransport(words.transport);
  const timePrecision = readTimeFormat(words.timeFormat, context);
  const sampling = readSampleRate(words.sampleRate, context);
  return {
    collector: context.collectors.flatMap((text) => collectorList(text, context)),
    isBidirectional: words.bidirectional === true,
    notices: notices(words, context),
    ...(transport !== undefined && { transport }),
    ...(hopLimit !== undefined && { hopLimit }),
    ...(words.sendInterface !== undefined && {
      device: readDevice(words.sendInterface, transport),
    }),
    ...(timePrecision !== undefined && { timePrecision }),
    ...(sampling !== undefined && { sampling }),
  };
}

/** softflowd's "host:port,host:port"; addresses with a scheme or parameters may have commas. */
function collectorList(text: string, { isSoftflowd }: SoftflowdContext): string[] {
  if (/[/?]/.test(text)) return [text];
  const items = text.split(',');
  return isSoftflowd ? items.map(bracketed) : items;
}

/** softflowd takes what is behind the last colon for the port, even where all could be an address. */
function bracketed(text: string): string {
  const [, host, port] = /^(.+):([^:]+)$/.exec(text) ?? [];
  return host !== undefined && port !== undefined && isIPv6(host) ? `[${host}]:${port}` : text;
}

/** -L is for multicast groups only, as in softflowd. */
export function hopLimitNotices(
  hopLimit: string | undefined,
  hosts: readonly (string | undefined)[],
): string[] {
  const isGroup = (host: string): boolean =>
    isIP(host) === 0 || /^(22[4-9]|23\d)\.|^ff/i.test(host);
  if (hopLimit === undefined || hosts.some((host) => host !== undefined && isGroup(host)))
    return [];
  return [`-L ${hopLimit} changes nothing: it is for multicast groups`];
}

function refuseUnsupported(
  { receivePort, mplsLabels }: SoftflowdWords,
  { version }: SoftflowdContext,
): void {
  if (version === 'psamp') {
    const reason = 'PSAMP, a report of each packet, is not supported';
    throw new ConfigError('-v psamp', reason, 'give 1, 5, 9 or 10, or use softflowd for it');
  }
  if (receivePort !== undefined) {
    throw new ConfigError(`-R ${receivePort}`, 'receiving PSAMP is not supported', INSTEAD);
  }
  if (mplsLabels === undefined) return;
  const setting = `-x ${mplsLabels}`;
  if (readInteger(setting, mplsLabels, 0, MAX_MPLS_LABELS) === 0) return;
  const reason = 'MPLS labels are not supported: packets below a label are not metered';
  throw new ConfigError(setting, reason, INSTEAD);
}

function readTransport(text: string | undefined): 'udp' | 'tcp' | undefined {
  if (text === undefined) return undefined;
  const transport = text.toLowerCase();
  if (transport === 'udp' || transport === 'tcp') return transport;
  if (transport === 'sctp') {
    const reason = 'SCTP is not supported: Node.js has no sockets for it';
    throw new ConfigError(`-P ${text}`, reason, 'give udp or tcp');
  }
  throw new ConfigError(`-P ${text}`, 'no such transport', 'give udp or tcp');
}

function readDevice(name: string, transport: string | undefined): string {
  if (transport !== 'tcp') return name;
  const reason = 'is for UDP: a TCP connection goes by the route';
  throw new ConfigError(`-S ${name}`, reason, 'leave out -S or -P tcp');
}

function readTimeFormat(
  text: string | undefined,
  { timePrecision }: SoftflowdContext,
): string | undefined {
  if (text === undefined) return undefined;
  const precision = TIME_FORMATS.get(text.toLowerCase());
  if (precision === undefined) {
    const advice = `give ${alternatives([...TIME_FORMATS.keys()])}`;
    throw new ConfigError(`-A ${text}`, 'no such time format', advice);
  }
  if (timePrecision !== undefined) {
    throw new ConfigError(`-A ${text}`, 'says the same as --time-precision', 'give one of them');
  }
  return precision;
}

/** One in less than two is every packet, as softflowd has it. */
function readSampleRate(
  text: string | undefined,
  { sampling }: SoftflowdContext,
): string | undefined {
  if (text === undefined) return undefined;
  if (sampling !== undefined) {
    throw new ConfigError(`-s ${text}`, 'says the same as --sampling', 'give one of them');
  }
  const rate = readInteger(`-s ${text}`, text, 0, MAX_SAMPLE_RATE);
  return rate < 2 ? 'none' : `count:${rate}`;
}

function notices(words: SoftflowdWords, context: SoftflowdContext): string[] {
  const { version, isReplay } = context;
  const isIpfix = version === '10';
  const lines: string[] = [];
  const note = (flag: string, text: string): void => {
    lines.push(`${flag} changes nothing: ${text}`);
  };
  if (words.promiscuous === false) {
    note('-N', 'interfaces are never put into promiscuous mode');
  }
  if (words.bufferOctets !== undefined) {
    readInteger(`-B ${words.bufferOctets}`, words.bufferOctets, 0, MAX_OCTETS);
    note('-B', 'packets are counted where they pass, and wait in no buffer');
  }
  if (words.captureOctets !== undefined) {
    readInteger(`-C ${words.captureOctets}`, words.captureOctets, 0, MAX_OCTETS);
    note('-C', 'packets are not copied, and all their headers are there');
  }
  if (words.threads === true) note('-M', 'the kernel meters on all CPUs at once');
  if (words.ipv6 === true) note('-6', 'IPv6 is always metered, whatever can be exported');
  if (words.adjustTime === true && !isReplay) note('-a', 'it is for capture files (-r)');
  if (words.bidirectional === true && !isIpfix && !mayBeIpfix(context)) {
    note('-b', `only IPFIX (-v 10) joins both directions, and this is NetFlow v${version}`);
  }
  if (words.timeFormat !== undefined && !isIpfix && !mayBeIpfix(context)) {
    note('-A', `only IPFIX (-v 10) has a choice of times, and this is NetFlow v${version}`);
  } else if (words.timeFormat?.toLowerCase() === 'sec') {
    lines.push('-A sec: times are told in milliseconds, which say more');
  }
  return lines;
}

/** A collector's own parameters may say that it gets another format. */
function mayBeIpfix({ collectors }: SoftflowdContext): boolean {
  return collectors.some((text) => /[?&]version=10|^(tcp|tls|file):/.test(text));
}
