// Where a transport sends to and from: addresses, names, and what names stand for.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { ExportError, systemErrorCode } from '../export-error.js';

export interface Endpoint {
  /** An IPv4 or IPv6 address, or a name. */
  readonly host: string;
  readonly port: number;
}

export interface SourceAddress {
  /** An IPv4 or IPv6 address of this host. */
  readonly address: string;
  /** Any free port when left out. */
  readonly port?: number;
}

export interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** All addresses of a name in the order of preference; `family` 0 for both. Rejects with a system error. */
export type NameLookup = (host: string, family: 0 | 4 | 6) => Promise<readonly ResolvedAddress[]>;

/** As all programs of this host resolve names: /etc/hosts, DNS and what nsswitch.conf says. */
export const lookUpName: NameLookup = async (host, family) => {
  const found = await lookup(host, { family, all: true });
  return found.map(({ address, family }) => ({ address, family: family === 4 ? 4 : 6 }));
};

/** "udp://192.0.2.1:9995", "tcp://[2001:db8::1]:4739" */
export function endpointUrl(scheme: string, { host, port }: Endpoint): string {
  return `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/**
 * The addresses of a collector, at least one. A source address decides the family of a name that
 * has addresses of both.
 * @throws ExportError `name-lookup`, or `bad-option` for a source that does not fit
 */
export async function resolveEndpoint(
  { host }: Endpoint,
  source: SourceAddress | undefined,
  lookUp: NameLookup,
): Promise<readonly [ResolvedAddress, ...ResolvedAddress[]]> {
  const family = source === undefined ? 0 : isIP(source.address);
  const operation = `look up the collector ${host}`;
  if (source !== undefined && family === 0) {
    const reason = `the source ${source.address} is not an IPv4 or IPv6 address`;
    throw new ExportError('bad-option', operation, reason);
  }
  const literal = isIP(host);
  if (literal !== 0) {
    if (family !== 0 && family !== literal) {
      const reason = `the source is an IPv${family} address and the collector an IPv${literal} one`;
      throw new ExportError('bad-option', operation, reason);
    }
    return [{ address: host, family: literal === 4 ? 4 : 6 }];
  }
  try {
    const [first, ...others] = await lookUp(host, family === 4 || family === 6 ? family : 0);
    if (first !== undefined) return [first, ...others];
  } catch (error) {
    const reason = `${systemErrorCode(error)} (check the name, or give an address)`;
    throw new ExportError('name-lookup', operation, reason, error);
  }
  throw new ExportError('name-lookup', operation, 'it has no address');
}

/** 224.0.0.0/4 and ff00::/8. */
export function isMulticast(address: string): boolean {
  if (isIP(address) === 6) return /^ff/i.test(address);
  const first = Number(address.split('.', 1)[0]);
  return first >= 224 && first <= 239;
}
