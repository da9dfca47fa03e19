// Makes one TCP or TLS connection to a collector.
import { once } from 'node:events';
import { createConnection, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import { ExportError, systemErrorCode } from '../export-error.js';
import type { ResolvedAddress, SourceAddress } from './endpoint.js';

export interface TcpConnectOptions {
  readonly host: string;
  readonly port: number;
  /** For error messages. */
  readonly destination: string;
  readonly source: SourceAddress | undefined;
  readonly tls: TlsPeer | undefined;
  readonly timeoutMs: number;
}

export interface TlsPeer {
  readonly credentials: SecureContext;
  readonly serverName: string | undefined;
  readonly isVerified: boolean;
}

export interface TcpLink {
  /** What counts octets. */
  readonly raw: Socket;
  /** What messages are written to: `raw` itself, or TLS over it. */
  readonly stream: Socket;
}

/** An idle connection whose peer is gone is noticed after this and ten unanswered probes, one a second. */
const KEEP_ALIVE_MS = 30_000;
const SESSION_TICKET_MS = 500;

/**
 * Tries the addresses of a name one after the other.
 * @throws ExportError `connect`, or `bad-option` when the source is not an address of this host
 */
export async function connectToFirst(
  addresses: readonly ResolvedAddress[],
  options: TcpConnectOptions,
  signal: AbortSignal,
): Promise<TcpLink> {
  const failures: string[] = [];
  for (const { address } of addresses) {
    const limit = new AbortController();
    const end = (): void => limit.abort();
    const timer = setTimeout(end, options.timeoutMs);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    try {
      return await connectOnce(address, options, limit.signal);
    } catch (error) {
      if (error instanceof ExportError || signal.aborted) throw error;
      const reason = limit.signal.aborted
        ? `no answer within ${options.timeoutMs} ms`
        : failureReason(error);
      failures.push(address === options.host ? reason : `${address}: ${reason}`);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    }
  }
  const { destination } = options;
  throw new ExportError('connect', `connect to ${destination}`, failures.join(', '));
}

async function connectOnce(
  address: string,
  options: TcpConnectOptions,
  signal: AbortSignal,
): Promise<TcpLink> {
  const { port, source } = options;
  // Half open: when the collector has closed its end, what it acknowledged can still be asked for.
  const raw = createConnection({
    host: address,
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    ...(source === undefined ? {} : { localAddress: source.address, localPort: source.port ?? 0 }),
  });
  try {
    await once(raw, 'connect', { signal });
    const stream = options.tls === undefined ? raw : await secure(raw, options, signal);
    return { raw, stream };
  } catch (error) {
    raw.on('error', () => undefined);
    raw.destroy();
    if (source !== undefined && isBindError(error)) {
      const reason = `${systemErrorCode(error)}: does this host have the address?`;
      throw new ExportError('bad-option', `bind the source ${source.address}`, reason, error);
    }
    throw error;
  }
}

async function secure(
  raw: Socket,
  { host, tls }: TcpConnectOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const name = tls?.serverName ?? host;
  const stream = connectTls({
    socket: raw,
    secureContext: tls?.credentials,
    host: name, // what the certificate is checked for
    ...(isIP(name) === 0 ? { servername: name } : {}),
    rejectUnauthorized: tls?.isVerified ?? true,
  });
  // Also while nobody waits: each loss is noticed by the 'close' that follows.
  stream.on('error', () => undefined);
  let ticket: Promise<unknown> | undefined;
  // In TLS 1.3 the collector looks at our certificate after the client has finished. Most then send
  // a session ticket, by which we know that it was accepted before anything is sent.
  stream.once('secureConnect', () => {
    if (stream.getProtocol() === 'TLSv1.3') ticket = once(stream, 'session', { signal });
  });
  await once(stream, 'secureConnect', { signal });
  stream.resume(); // tickets come with what is read
  if (ticket !== undefined) await Promise.race([ticket, delay(SESSION_TICKET_MS)]);
  return stream;
}

function isBindError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'bind';
}

/** Of TLS the text says more than the code: which name a certificate has, which alert came. */
export function failureReason(error: unknown): string {
  const code = systemErrorCode(error);
  if (!(error instanceof Error) || code === error.message || 'syscall' in error) return code;
  // "40E7...:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../deps/..."
  const alert = /:SSL routines:[^:]*:([^:]+)/.exec(error.message)?.[1];
  return `${code} (${alert ?? error.message})`;
}
