// Messages over UDP: one datagram each. The only file that knows sockets.
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { ExportError, systemErrorCode } from './export-error.js';
import type { MessageTransport } from './message-transport.js';

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

interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/**
 * A connected socket: the kernel then looks up the route once, and reports when nothing listens at
 * the collector's port. A name is resolved once, at open().
 */
export function createUdpTransport(collector: Endpoint, source?: SourceAddress): MessageTransport {
  const destination = `${isIP(collector.host) === 6 ? `[${collector.host}]` : collector.host}:${collector.port}`;
  let socket: Socket | undefined;
  let refusals = 0;
  let sent = 0;

  const sendOnce = (bytes: Buffer, octets: number): Promise<void> =>
    new Promise((resolve, reject) => {
      if (socket === undefined) {
        reject(new ExportError('not-open', `send to ${destination}`, 'the socket is not open'));
        return;
      }
      socket.send(bytes, 0, octets, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });

  return {
    destination,
    isReliable: false,
    ready: async () => 1,
    confirmed: () => sent,
    open: async () => {
      const { address, family } = await resolveCollector(collector, source);
      const opened = createSocket(family === 4 ? 'udp4' : 'udp6');
      try {
        if (source !== undefined) await bind(opened, source);
        await connect(opened, address, collector.port, destination);
      } catch (error) {
        opened.close();
        throw error;
      }
      // An ICMP error for an earlier datagram; the socket stays usable.
      opened.on('error', () => refusals++);
      socket = opened;
    },
    send: async (bytes, octets) => {
      try {
        await sendOnce(bytes, octets);
      } catch (first) {
        if (systemErrorCode(first) !== 'ECONNREFUSED') throw sendError(destination, octets, first);
        // The error is an earlier datagram's, and this one was not sent on its account.
        refusals++;
        await sendOnce(bytes, octets).catch((second: unknown) => {
          throw sendError(destination, octets, second);
        });
      }
      sent++;
    },
    refusals: () => refusals,
    close: async () => {
      if (socket === undefined) return;
      const closed = once(socket, 'close');
      socket.close();
      socket = undefined;
      await closed;
    },
  };
}

function sendError(destination: string, octets: number, cause: unknown): ExportError {
  if (cause instanceof ExportError) return cause;
  const code = systemErrorCode(cause);
  const advice = code === 'EMSGSIZE' ? ' (lower the message limit below the path MTU)' : '';
  const operation = `send a message of ${octets} octets to ${destination}`;
  return new ExportError('send', operation, `${code}${advice}`, cause);
}

/** A source address decides the family of a name that has addresses of both. */
async function resolveCollector(
  { host }: Endpoint,
  source: SourceAddress | undefined,
): Promise<ResolvedAddress> {
  const sourceFamily = source === undefined ? 0 : isIP(source.address);
  const operation = `look up the collector ${host}`;
  if (source !== undefined && sourceFamily === 0) {
    const reason = `the source ${source.address} is not an IPv4 or IPv6 address`;
    throw new ExportError('bad-option', operation, reason);
  }
  let found: { address: string; family: number };
  try {
    found = await lookup(host, { family: sourceFamily });
  } catch (error) {
    const reason = `${systemErrorCode(error)} (check the name, or give an address)`;
    throw new ExportError('name-lookup', operation, reason, error);
  }
  // A literal address comes back as it is, whatever family was asked for.
  if (sourceFamily !== 0 && found.family !== sourceFamily) {
    const reason = `the source is an IPv${sourceFamily} address and the collector an IPv${found.family} one`;
    throw new ExportError('bad-option', operation, reason);
  }
  return { address: found.address, family: found.family === 4 ? 4 : 6 };
}

async function bind(socket: Socket, source: SourceAddress): Promise<void> {
  const { address, port = 0 } = source;
  try {
    const listening = once(socket, 'listening');
    socket.bind({ address, port, exclusive: true });
    await listening;
  } catch (error) {
    const code = systemErrorCode(error);
    const operation = `bind the source ${address} port ${port}`;
    if (code !== 'EADDRINUSE') {
      const advice = code === 'EADDRNOTAVAIL' ? ': this host does not have the address' : '';
      throw new ExportError('connect', operation, `${code}${advice}`, error);
    }
    const reason = `${code}: another program has this port (choose another, or none for any)`;
    throw new ExportError('address-in-use', operation, reason, error);
  }
}

async function connect(
  socket: Socket,
  address: string,
  port: number,
  destination: string,
): Promise<void> {
  try {
    const connected = once(socket, 'connect');
    socket.connect(port, address);
    await connected;
  } catch (error) {
    const reason = `${systemErrorCode(error)} (is there a route to it?)`;
    throw new ExportError('connect', `open a socket to ${destination}`, reason, error);
  }
}
