// Sockets of libc: those that Node cannot make (bound to an interface, Unix datagrams), and what it
// does not tell of its own.
import koffi from 'koffi';

/** Each returns -1 and leaves errno when it fails. */
export interface LibcSockets {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly setOption: (fd: number, level: number, option: number, value: Buffer) => number;
  /** Fills `value`. */
  readonly getOption: (fd: number, level: number, option: number, value: Buffer) => number;
  readonly bind: (fd: number, address: Buffer) => number;
  readonly connect: (fd: number, address: Buffer) => number;
  /** For so many connections that nobody has taken. */
  readonly listen: (fd: number, connections: number) => number;
  /** Sends the first `octets` of `bytes`. */
  readonly send: (fd: number, bytes: Buffer, octets: number, flags: number) => number;
  /** A second descriptor of the same socket. */
  readonly duplicate: (fd: number) => number;
  /** Makes `target` another descriptor of the same file; what it was before is closed. */
  readonly duplicateOnto: (fd: number, target: number) => number;
  /** Octets that a TCP connection has not seen acknowledged. */
  readonly sendQueueOctets: (fd: number) => number;
  readonly close: (fd: number) => number;
  /** The octets of an IPv4 (4) or IPv6 (16) address, or undefined when the text is none. */
  readonly addressBytes: (family: number, text: string) => Buffer | undefined;
}

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_PEERCRED = 17;
export const SO_BINDTODEVICE = 25;
export const IPPROTO_IP = 0;
export const IP_MULTICAST_TTL = 33;
export const IPPROTO_IPV6 = 41;
export const IPV6_MULTICAST_HOPS = 18;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
const F_DUPFD_CLOEXEC = 1030;
const SIOCOUTQ = 0x5411;

export function loadLibcSockets(): LibcSockets {
  const libc = koffi.load('libc.so.6');
  const socket: LibcSockets['socket'] = libc.func('int socket(int family, int type, int protocol)');
  const setsockopt: (
    fd: number,
    level: number,
    option: number,
    value: Buffer,
    octets: number,
  ) => number = libc.func(
    'int setsockopt(int fd, int level, int option, void *value, uint32_t octets)',
  );
  const bind: (fd: number, address: Buffer, octets: number) => number = libc.func(
    'int bind(int fd, void *address, uint32_t octets)',
  );
  const connect: (fd: number, address: Buffer, octets: number) => number = libc.func(
    'int connect(int fd, void *address, uint32_t octets)',
  );
  const send: (fd: number, bytes: Buffer, octets: number, flags: number) => number | bigint =
    libc.func('int64_t send(int fd, void *bytes, size_t octets, int flags)');
  const fcntl: (fd: number, command: number, argument: number) => number = libc.func(
    'int fcntl(int fd, int command, int64_t argument)',
  );
  const ioctl: (fd: number, request: number, value: Buffer) => number = libc.func(
    'int ioctl(int fd, unsigned long request, void *value)',
  );
  const close: LibcSockets['close'] = libc.func('int close(int fd)');
  const toBytes: (family: number, text: string, bytes: Buffer) => number = libc.func(
    'int inet_pton(int family, str text, void *bytes)',
  );
  return {
    socket,
    setOption: (fd, level, option, value) => setsockopt(fd, level, option, value, value.length),
    getOption: optionReader(),
    bind: (fd, address) => bind(fd, address, address.length),
    connect: (fd, address) => connect(fd, address, address.length),
    listen: libc.func('int listen(int fd, int connections)'),
    send: (fd, bytes, octets, flags) => Number(send(fd, bytes, octets, flags)),
    duplicateOnto: libc.func('int dup2(int fd, int target)'),
    duplicate: (fd) => fcntl(fd, F_DUPFD_CLOEXEC, 0),
    sendQueueOctets: (fd) => {
      const value = Buffer.alloc(4);
      return ioctl(fd, SIOCOUTQ, value) === 0 ? value.readInt32LE() : -1;
    },
    close,
    addressBytes: (family, text) => {
      const bytes = Buffer.alloc(family === AF_INET ? 4 : 16);
      return toBytes(family, text, bytes) === 1 ? bytes : undefined;
    },
  };
}

function optionReader(): LibcSockets['getOption'] {
  const getsockopt: (
    fd: number,
    level: number,
    option: number,
    value: Buffer,
    octets: Buffer,
  ) => number = koffi
    .load('libc.so.6')
    .func('int getsockopt(int fd, int level, int option, void *value, void *octets)');
  return (fd, level, option, value) => {
    const octets = Buffer.alloc(4);
    octets.writeUInt32LE(value.length);
    return getsockopt(fd, level, option, value, octets);
  };
}
