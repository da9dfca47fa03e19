// One connected UDP socket: bound to what was asked for, and ready for multicast. The only file
// that knows node:dgram.
import { closeSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { SocketAddress } from 'node:net';
import { constants, networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import { ExportError, systemErrorCode } from '../export-error.js';
import { isMulticast } from './endpoint.js';
import type { ResolvedAddress, SourceAddress } from './endpoint.js';

/** The kernel takes no more now. */
const BUSY = ['EAGAIN', 'ENOBUFS'];
const BUSY_MS = 1;
const ATTEMPTS = 2;

export interface RawSocketOptions {
  readonly family: 4 | 6;
  /** Name of the interface that it sends by, whatever the routes say. */
  readonly device?: string | undefined;
  readonly source?: SourceAddress | undefined;
  readonly multicastHops: number;
}

/**
 * Makes a UDP socket and returns its file descriptor. Throws an Error with a `code` (ENODEV). Node has no
 * SO_BINDTODEVICE, and tells no descriptor of its own sockets; src/bpf-loader/ has.
 */
export type RawSocketOpener = (options: RawSocketOptions) => number;

/**
 * Sends datagrams by a connected socket, without waiting. Returns how many went, or a negative errno when
 * the first did not.
 */
export type DatagramsSender = (fd: number, datagrams: readonly Uint8Array[]) => number;

export interface UdpSocketOptions {
  readonly remote: ResolvedAddress;
  readonly port: number;
  /** For error messages. */
  readonly destination: string;
  readonly source?: SourceAddress | undefined;
  /** The interface that messages leave by, whatever the routes say. */
  readonly device?: string | undefined;
  readonly openSocket?: RawSocketOpener | undefined;
  /** With `openSocket`; without it node:dgram sends them one by one. */
  readonly sendDatagrams?: DatagramsSender | undefined;
  /** How many routers a multicast message may pass; 1 is the network's own link. */
  readonly multicastHops: number;
}

export interface UdpSocket {
  /**
   * Sends the first of the messages, and more of them if they go at once; resolves to how many. Rejects with
   * a system error when the first was not sent.
   */
  send(messages: readonly Buffer[]): Promise<number>;
  close(): Promise<void>;
}

/**
 * A connected socket: the kernel then looks up the route once, and reports when nothing listens at
 * the collector's port. `onError` is told of the ICMP errors for earlier datagrams that come when
 * none is being sent; the socket stays usable.
 * @throws ExportError
 */
export async function openUdpSocket(
  options: UdpSocketOptions,
  onError: (error: Error) => void,
): Promise<UdpSocket> {
  const { remote, source, device, openSocket, sendDatagrams } = options;
  const isGroup = device === undefined && isMulticast(remote.address);
  const isRaw = device !== undefined || (openSocket !== undefined && !isGroup);
  const socket = createSocket(remote.family === 4 ? 'udp4' : 'udp6');
  let fd = -1;
  try {
    if (isRaw) await adopt(socket, (fd = openRaw(options)));
    else if (source !== undefined) await bind(socket, source);
    if (isGroup) await prepareMulticast(socket, options);
    await connect(socket, options);
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.on('error', onError);
  let isClosed = false;
  // The descriptor may be another file's by then.
  const sendAtOnce = (messages: readonly Buffer[]): number =>
    isClosed || sendDatagrams === undefined ? -constants.errno.EBADF : sendDatagrams(fd, messages);
  const isRawSender = fd >= 0 && sendDatagrams !== undefined;
  return {
    send: (messages) =>
      isRawSender ? sendManyWhenThereIsRoom(sendAtOnce, messages) : sendFirst(socket, messages),
    close: async () => {
      isClosed = true;
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}

/**
 * Waits where the kernel has no room now. Another error may have been left behind by an earlier datagram, and
 * be over.
 */
async function sendManyWhenThereIsRoom(
  sendAtOnce: (messages: readonly Buffer[]) => number,
  messages: readonly Buffer[],
): Promise<number> {
  for (let failures = 0; ;) {
    const sent = messages.length === 0 ? 0 : sendAtOnce(messages);
    if (sent >= 0) return sent;
    const code = getSystemErrorName(sent);
    if (BUSY.includes(code)) {
      await delay(BUSY_MS);
      continue;
    }
    if (code === 'ECONNREFUSED' || ++failures === ATTEMPTS) {
      throw Object.assign(new Error(`send ${code}`), { code });
    }
  }
}

async function sendFirst(socket: Socket, [first]: readonly Buffer[]): Promise<number> {
  if (first === undefined) return 0;
  return new Promise((resolve, reject) => {
    socket.send(first, (error) => {
      if (error === null) resolve(1);
      else reject(error);
    });
  });
}

function openRaw(options: UdpSocketOptions): number {
  const { remote, source, device, multicastHops, openSocket } = options;
  const operation = `open a UDP socket${device === undefined ? '' : ` on interface ${device}`}`;
  if (openSocket === undefined) {
    throw new ExportError('bad-option', operation, 'this host cannot bind sockets to interfaces');
  }
  try {
    return openSocket({ family: remote.family, device, source, multicastHops });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EADDRINUSE' || code === 'EADDRNOTAVAIL') throw bindError(source, error);
    const advice = code === 'ENODEV' ? ' (`ip link` shows the interfaces of this host)' : '';
    throw new ExportError('connect', operation, `${code}${advice}`, error);
  }
}

/** node:dgram takes the socket over, and closes it. */
async function adopt(socket: Socket, fd: number): Promise<void> {
  try {
    const listening = once(socket, 'listening');
    socket.bind({ fd });
    await listening;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function bind(socket: Socket, source: SourceAddress): Promise<void> {
  try {
    const listening = once(socket, 'listening');
    socket.bind({ address: source.address, port: source.port ?? 0, exclusive: true });
    await listening;
  } catch (error) {
    throw bindError(source, error);
  }
}

function bindError(source: SourceAddress | undefined, error: unknown): ExportError {
  const code = systemErrorCode(error);
  const operation = `bind the source ${source?.address} port ${source?.port ?? 0}`;
  if (code !== 'EADDRINUSE') {
    const advice = code === 'EADDRNOTAVAIL' ? ': this host does not have the address' : '';
    return new ExportError('connect', operation, `${code}${advice}`, error);
  }
  const reason = `${code}: another program has this port (choose another, or none for any)`;
  return new ExportError('address-in-use', operation, reason, error);
}

/** Before connect(), which looks up the route. Without a source the routes decide. */
async function prepareMulticast(socket: Socket, options: UdpSocketOptions): Promise<void> {
  const { remote, source, multicastHops, destination } = options;
  try {
    // The options need a socket, which Node makes when it binds.
    if (source === undefined) {
      const listening = once(socket, 'listening');
      socket.bind({ port: 0, exclusive: true });
      await listening;
    }
    socket.setMulticastTTL(multicastHops);
    if (source === undefined) return;
    socket.setMulticastInterface(
      remote.family === 4 ? source.address : `::%${interfaceOf(source.address)}`,
    );
  } catch (error) {
    const operation = `prepare a socket for multicast to ${destination}`;
    throw new ExportError('connect', operation, systemErrorCode(error), error);
  }
}

/** IPv6 knows interfaces by name or index only. */
function interfaceOf(address: string): string {
  const [plain = '', scope] = address.split('%');
  if (scope !== undefined) return scope;
  const { address: canonical } = new SocketAddress({ address: plain, family: 'ipv6' });
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some((entry) => entry.address === canonical) === true) return name;
  }
  throw new Error(`no interface has the address ${address}`);
}

async function connect(socket: Socket, options: UdpSocketOptions): Promise<void> {
  const { remote, port, destination } = options;
  try {
    const connected = once(socket, 'connect');
    socket.connect(port, remote.address);
    await connected;
  } catch (error) {
    const reason = `${systemErrorCode(error)} (is there a route to it?)`;
    throw new ExportError('connect', `open a socket to ${destination}`, reason, error);
  }
}
