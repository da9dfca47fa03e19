// Where flows go: "192.0.2.1:9995", "tls://collector.example:4740?ca=...", "file:///var/flows.ipfix"
// from the words of a command line to checked values.
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { endpointUrl, type Endpoint, type SourceAddress } from '../exporter/transports/endpoint.js';
import type { TlsOptions } from '../exporter/transports/tls-credentials.js';
import { ConfigError, alternatives } from './config-error.js';
import { readDurationMs, readInteger, readOctets, readSwitch } from './quantities.js';
import { servicePort } from './service-ports.js';

export type CollectorAddress =
  | (Endpoint & {
      readonly scheme: 'udp';
      readonly source?: SourceAddress;
      readonly device?: string;
      readonly multicastHops?: number;
      readonly resolveIntervalMs?: number;
    })
  | (Endpoint & {
      readonly scheme: 'tcp';
      readonly source?: SourceAddress;
      readonly reconnectIntervalMs?: number;
      readonly stallTimeoutMs?: number;
    })
  | (Endpoint & {
      readonly scheme: 'tls';
      readonly source?: SourceAddress;
      readonly reconnectIntervalMs?: number;
      readonly stallTimeoutMs?: number;
      readonly tls: TlsOptions;
    })
  | { readonly scheme: 'unix'; readonly path: string }
  | {
      readonly scheme: 'file';
      readonly path: string;
      readonly rotateIntervalMs?: number;
      readonly rotateOctets?: number;
    };

type Scheme = CollectorAddress['scheme'];

/** [bracketed] or plain host, and the port, by number or name, if there is one. */
const HOST_AND_PORT = /^(?:\[([^\]]*)\]|([^:[\]\s]+))(?::(\w[\w.+-]*))?$/;
const DAY_S = 86_400;
export const MAX_HOPS = 255;
const MAX_INTERFACE_NAME_OCTETS = 15;
const MAX_UNIX_PATH_OCTETS = 107;

type ReadParameter = (setting: string, text: string) => unknown;
/** By its name in the address: under which name it is known inside, and how it is read. */
type Parameters = Readonly<Record<string, readonly [string, ReadParameter]>>;

const duration =
  (minS: number): ReadParameter =>
  (setting, text) =>
    readDurationMs(setting, text, minS, 7 * DAY_S);

const CONNECTION: Parameters = {
  source: ['source', readSource],
  reconnect: ['reconnectIntervalMs', duration(0.1)],
  stall: ['stallTimeoutMs', duration(0)],
};

/** Which parameters a scheme has besides those of every collector. */
const PARAMETERS: Readonly<Record<Scheme, Parameters>> = {
  udp: {
    source: ['source', readSource],
    device: ['device', readDevice],
    hops: ['multicastHops', (setting, text) => readInteger(setting, text, 0, MAX_HOPS)],
    resolve: ['resolveIntervalMs', duration(1)],
  },
  tcp: CONNECTION,
  tls: {
    ...CONNECTION,
    ca: ['caFile', readPath],
    cert: ['certFile', readPath],
    key: ['keyFile', readPath],
    servername: ['serverName', (_, text) => text],
    verify: ['isVerified', readSwitch],
  },
  unix: {},
  file: {
    rotate: ['rotateIntervalMs', duration(1)],
    size: ['rotateOctets', (setting, text) => readOctets(setting, text, 4096, 2 ** 40)],
  },
};
const TLS_PARAMETERS = ['caFile', 'certFile', 'keyFile', 'serverName', 'isVerified'];
const SCHEMES = Object.keys(PARAMETERS) as Scheme[];

export interface ParsedCollector {
  readonly address: CollectorAddress;
  /** Parameters that are not the address's own. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** For collectors that do not say it themselves; each with the option that it came from. */
export interface AddressDefaults {
  readonly scheme?: 'udp' | 'tcp' | undefined;
  readonly parameters?: ReadonlyMap<string, { readonly option: string; readonly value: string }>;
}

/**
 * @param text one -n of the command line
 * @throws ConfigError
 */
export function readCollectorAddress(
  text: string,
  defaults: AddressDefaults = {},
): ParsedCollector {
  const setting = `-n ${text}`;
  const questionMark = text.indexOf('?');
  const place = questionMark < 0 ? text : text.slice(0, questionMark);
  const query = readQuery(setting, questionMark < 0 ? '' : text.slice(questionMark + 1));
  const { scheme: usual = 'udp' } = defaults;
  const [, schemeText = usual, rest = place] = /^([a-z]+):\/\/(.*)$/i.exec(place) ?? [];
  const scheme = SCHEMES.find((known) => known === schemeText.toLowerCase());
  if (scheme === undefined) {
    throw new ConfigError(
      setting,
      `no such transport: ${schemeText}`,
      `give ${alternatives(SCHEMES)}`,
    );
  }
  const known = PARAMETERS[scheme];
  const own: Record<string, unknown> = {};
  const parameters = new Map<string, string>();
  for (const [key, value] of query) {
    const [name, read] = (Object.hasOwn(known, key) ? known[key] : undefined) ?? [];
    if (name !== undefined && read !== undefined) own[name] = read(`${setting}: ${key}`, value);
    else parameters.set(key, value);
  }
  for (const [key, { option, value }] of defaults.parameters ?? []) {
    const [name, read] = known[key] ?? [];
    if (name === undefined || read === undefined || own[name] !== undefined) continue;
    own[name] = read(`${option} ${value}`, value);
  }
  return { address: buildAddress(setting, scheme, rest, own), parameters };
}

/** Not as forms are encoded: a + is a +. */
function readQuery(setting: string, text: string): Map<string, string> {
  const query = new Map<string, string>();
  for (const part of text.split('&').filter((part) => part !== '')) {
    const equals = part.indexOf('=');
    const key = equals < 0 ? part : part.slice(0, equals);
    if (query.has(key)) throw new ConfigError(setting, `${key} is there twice`, 'give it once');
    try {
      query.set(key, decodeURIComponent(equals < 0 ? '' : part.slice(equals + 1)));
    } catch {
      throw new ConfigError(setting, `${part} has a broken %`, 'write %25 for a percent sign');
    }
  }
  return query;
}

/** Streams have no room for NetFlow, which says nowhere where a message ends. */
export function isStream({ scheme }: CollectorAddress): boolean {
  return scheme === 'tcp' || scheme === 'tls' || scheme === 'file';
}

/** How the parameters of a scheme are called, for an error message. */
export function parameterNames({ scheme }: CollectorAddress): readonly string[] {
  return Object.keys(PARAMETERS[scheme]);
}

/** "udp://192.0.2.1:9995", for people */
export function addressText(address: CollectorAddress): string {
  const { scheme } = address;
  if (scheme === 'unix' || scheme === 'file') return `${scheme}://${address.path}`;
  return endpointUrl(scheme, address);
}

function buildAddress(
  setting: string,
  scheme: Scheme,
  rest: string,
  own: Readonly<Record<string, unknown>>,
): CollectorAddress {
  if (scheme === 'unix' || scheme === 'file') {
    return { scheme, path: readTarget(setting, scheme, rest), ...own };
  }
  const endpoint = readEndpoint(setting, scheme, rest);
  const { source } = own as { source?: SourceAddress };
  if (source !== undefined && isIP(endpoint.host) !== 0) {
    if (isIP(endpoint.host) !== isIP(source.address)) {
      const reason = `the source ${source.address} is of another IP version than the collector`;
      throw new ConfigError(setting, reason, 'use two of the same version');
    }
  }
  if (scheme !== 'tls') return { scheme, ...endpoint, ...own };
  const isTls = ([name]: [string, unknown]): boolean => TLS_PARAMETERS.includes(name);
  const tls = Object.fromEntries(Object.entries(own).filter(isTls)) as TlsOptions;
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    throw new ConfigError(setting, 'a certificate and its key go together', 'give cert and key');
  }
  const others = Object.fromEntries(Object.entries(own).filter((entry) => !isTls(entry)));
  return { scheme, ...endpoint, ...others, tls };
}

function readTarget(setting: string, scheme: 'unix' | 'file', path: string): string {
  if (!path.startsWith('/') || path.endsWith('/')) {
    throw new ConfigError(setting, 'is not an absolute path of a file', `give ${scheme}:///PATH`);
  }
  if (scheme === 'unix' && Buffer.byteLength(path) > MAX_UNIX_PATH_OCTETS) {
    const reason = `paths of Unix sockets have at most ${MAX_UNIX_PATH_OCTETS} octets`;
    throw new ConfigError(setting, reason, 'choose a shorter one');
  }
  return path;
}

/** "host:port", "192.0.2.1:9995" or "[2001:db8::1]:9995". */
function readEndpoint(setting: string, scheme: Scheme, text: string): Endpoint {
  const advice = 'give HOST:PORT, such as 192.0.2.1:9995 or [2001:db8::1]:9995';
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
  const port = /\D/.test(portText) ? readService(setting, portText, scheme) : undefined;
  return { host, port: port ?? readPort(setting, portText) };
}

/** By what services(5) calls it. */
function readService(setting: string, name: string, scheme: Scheme): number {
  const protocol = scheme === 'udp' ? 'udp' : 'tcp';
  const port = servicePort(name, protocol);
  if (port !== undefined) return port;
  const reason = `${name} is not a port, and not a service in /etc/services over ${protocol}`;
  throw new ConfigError(setting, reason, 'give a number from 1 to 65535');
}

/** An address of this host, alone or with a port: the messages are sent from there. */
function readSource(setting: string, text: string): SourceAddress {
  if (isIP(text) !== 0) return { address: text };
  const match = HOST_AND_PORT.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  if (isIP(address) === 0) {
    const advice = 'give an address of this host, such as 192.0.2.7 or [2001:db8::7]:2055';
    throw new ConfigError(setting, 'is not an IP address', advice);
  }
  const portText = match?.[3];
  return portText === undefined ? { address } : { address, port: readPort(setting, portText) };
}

function readDevice(setting: string, text: string): string {
  if (text !== '' && Buffer.byteLength(text) <= MAX_INTERFACE_NAME_OCTETS && !/[\s/]/.test(text)) {
    return text;
  }
  throw new ConfigError(setting, 'is not an interface name', '"ip link" lists them');
}

function readPath(setting: string, text: string): string {
  if (text !== '') return text;
  throw new ConfigError(setting, 'is empty', 'give the path of a PEM file');
}

function readPort(setting: string, text: string): number {
  const port = Number(text);
  if (port >= 1 && port <= 65535) return port;
  throw new ConfigError(setting, `${text} is not a port`, 'ports are numbers from 1 to 65535');
}
