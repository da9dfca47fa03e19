// Sockets for the transports of src/exporter/ that Node cannot make, and what it does not tell of its
// own. The daemon hands them over.
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import { loadSendDatagrams, type SendDatagrams } from './native/libc-datagrams.js';
import { loadLibc } from './native/libc.js';
import type { Libc } from './native/libc.js';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MULTICAST_HOPS,
  IP_MULTICAST_TTL,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  SO_BINDTODEVICE,
  loadLibcSockets,
} from './native/libc-sockets.js';
import type { LibcSockets } from './native/libc-sockets.js';
import { lastErrno } from './native/memory.js';

/** IFNAMSIZ without the NUL. */
const IF_NAME_OCTETS = 15;

interface Source {
  /** An IPv4 or IPv6 address of this host. */
  readonly address: string;
  /** Any free one when left out. */
  readonly port?: number;
}

interface UdpSocketOptions {
  readonly family: 4 | 6;
  /** Name of the interface that it sends by, whatever the routes say; by the routes when left out. */
  readonly device?: string | undefined;
  readonly source?: Source | undefined;
  readonly multicastHops: number;
}

export interface ExportSockets {
  /**
   * A UDP socket. Returns its file descriptor, which the caller closes.
   * @throws BpfError ENODEV without such an interface, EADDRINUSE, EADDRNOTAVAIL
   */
  readonly openUdpSocket: (options: UdpSocketOptions) => number;
  /** @param headers where the kernel notes which went: room for so many struct mmsghdr; default: its own */
  readonly loadSendDatagrams: (headers?: Buffer) => SendDatagrams;
  /**
   * A Unix datagram socket that is connected to the one bound to `path`.
   * @throws BpfError ENOENT, ECONNREFUSED when nobody is there, EPROTOTYPE for another kind of socket
   */
  readonly openUnixDatagram: (path: string) => UnixDatagramSocket;
  /**
   * What a TCP connection has not seen acknowledged, also when `fd` is closed meanwhile.
   * @throws BpfError EBADF, EMFILE
   */
  readonly openSendQueue: (fd: number) => TcpSendQueue;
}

export interface TcpSendQueue {
  /** @throws BpfError ENOTTY, or another where `fd` is no TCP connection */
  readonly octets: () => number;
  readonly close: () => void;
}

export interface UnixDatagramSocket {
  /** Sends the first `octets` without waiting; 0, or a positive errno. */
  readonly send: (bytes: Buffer, octets: number) => number;
  readonly close: () => void;
}

export function loadExportSockets(): ExportSockets {
  const sockets = loadLibcSockets();
  const { interfaceIndex } = loadLibc();
  return {
    openUdpSocket: (options) => openUdpSocket(sockets, interfaceIndex, options),
    loadSendDatagrams,
    openUnixDatagram: (path) => openUnixDatagram(sockets, path),
    openSendQueue: (fd) => openSendQueue(sockets, fd),
  };
}

function openUdpSocket(
  sockets: LibcSockets,
  interfaceIndex: Libc['interfaceIndex'],
  { family, device, source, multicastHops }: UdpSocketOptions,
): number {
  const domain = family === 4 ? AF_INET : AF_INET6;
  const fd = sockets.socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw failure('make a UDP socket');
  try {
    if (device !== undefined) bindToDevice(sockets, fd, device);
    // libuv does not know the family of a socket that it did not make, and would set that of IPv4.
    const [level, option] =
      family === 4 ? [IPPROTO_IP, IP_MULTICAST_TTL] : [IPPROTO_IPV6, IPV6_MULTICAST_HOPS];
    const hops = Buffer.alloc(4);
    hops.writeInt32LE(multicastHops);
    if (sockets.setOption(fd, level, option, hops) !== 0) throw failure('set multicast hops');
    if (source !== undefined) {
      const address = socketAddress(sockets, interfaceIndex, domain, source);
      if (sockets.bind(fd, address) !== 0) throw failure(`bind ${source.address}`);
    }
    return fd;
  } catch (error) {
    sockets.close(fd);
    throw error;
  }
}

function bindToDevice(sockets: LibcSockets, fd: number, device: string): void {
  const name = Buffer.from(device);
  // The kernel cuts a longer name, and may find another interface by what is left.
  if (name.length > IF_NAME_OCTETS) throw new BpfError('ENODEV', `bind to ${device}`, '');
  if (sockets.setOption(fd, SOL_SOCKET, SO_BINDTODEVICE, name) !== 0) {
    throw failure(`bind a socket to interface ${device}`);
  }
}

function openUnixDatagram(sockets: LibcSockets, path: string): UnixDatagramSocket {
  const fd = sockets.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw failure('make a Unix datagram socket');
  // struct sockaddr_un: the family, then the path and its NUL.
  const address = Buffer.from(`\0\0${path}\0`);
  address.writeUInt16LE(AF_UNIX, 0);
  if (sockets.connect(fd, address) !== 0) {
    const error = failure(`connect to ${path}`);
    sockets.close(fd);
    throw error;
  }
  return {
    send: (bytes, octets) =>
      sockets.send(fd, bytes, octets, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? lastErrno() : 0,
    close: () => void sockets.close(fd),
  };
}

function openSendQueue(sockets: LibcSockets, connection: number): TcpSendQueue {
  const fd = sockets.duplicate(connection);
  if (fd < 0) throw failure('keep the descriptor of a connection');
  return {
    octets: () => {
      const octets = sockets.sendQueueOctets(fd);
      if (octets < 0) throw failure('ask for the send queue of a connection');
      return octets;
    },
    close: () => void sockets.close(fd),
  };
}

/** struct sockaddr_in or sockaddr_in6 */
function socketAddress(
  { addressBytes }: Pick<LibcSockets, 'addressBytes'>,
  interfaceIndex: Libc['interfaceIndex'],
  domain: number,
  { address, port = 0 }: Source,
): Buffer {
  const [plain = '', scope] = address.split('%');
  const bytes = addressBytes(domain, plain);
  if (bytes === undefined) throw new BpfError('EINVAL', `bind ${address}`, 'not an address');
  const result = Buffer.alloc(domain === AF_INET ? 16 : 28);
  result.writeUInt16LE(domain, 0);
  result.writeUInt16BE(port, 2);
  bytes.copy(result, domain === AF_INET ? 4 : 8);
  // sin6_scope_id is in the byte order of the host.
  if (scope !== undefined) result.writeUInt32LE(interfaceIndex(scope), 24);
  return result;
}

function failure(operation: string): BpfError {
  return new BpfError(getSystemErrorName(-lastErrno()), operation, '');
}
