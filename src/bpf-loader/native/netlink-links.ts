// The kernel's news of network interfaces (rtnetlink), read without waiting.
import koffi from 'koffi';
import { constants } from 'node:os';
import { lastErrno } from './memory.js';

/** What a message says of an interface; of one that is renamed too. */
export type LinkNews =
  | { readonly index: number; readonly name: string }
  | { readonly index: number; readonly name: undefined };

export interface LinkNewsSocket {
  /**
   * What has happened since it was last asked, in order; a name that is undefined: the interface has left
   * the namespace. 'too much' when the kernel had no room for it: then nothing is known.
   */
  readonly take: () => readonly LinkNews[] | 'too much';
  readonly close: () => void;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const RTMGRP_LINK = 1;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
/** struct sockaddr_nl: family and padding of two octets each, port id, groups */
const ADDRESS_OCTETS = 12;
/** A few thousand interfaces that come or go between two looks. */
const QUEUE_OCTETS = 4 << 20;
/** The kernel never sends more at a time. */
const MESSAGE_OCTETS = 65_536;
/** So many at a time: the rest is there at the next look. */
const MOST_MESSAGES = 8192;

/** struct nlmsghdr: length, type, flags, sequence, port id; then struct ifinfomsg, then attributes */
const HEADER_OCTETS = 16;
const ATTRIBUTES = 32;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const AF_UNSPEC = 0;
const IFLA_IFNAME = 3;
const ATTRIBUTE_HEADER_OCTETS = 4;

/**
 * Of the calling thread's network namespace.
 * @returns undefined where the kernel gives no such socket
 */
export function openLinkNews(): LinkNewsSocket | undefined {
  const libc = koffi.load('libc.so.6');
  const socket: (family: number, type: number, protocol: number) => number = libc.func(
    'int socket(int family, int type, int protocol)',
  );
  const bind: (fd: number, address: Buffer, octets: number) => number = libc.func(
    'int bind(int fd, void *address, uint32_t octets)',
  );
  const setOption: (
    fd: number,
    level: number,
    option: number,
    value: Buffer,
    octets: number,
  ) => number = libc.func(
    'int setsockopt(int fd, int level, int option, void *value, uint32_t octets)',
  );
  const receive: (fd: number, bytes: Buffer, octets: number, flags: number) => number | bigint =
    libc.func('int64_t recv(int fd, void *bytes, size_t octets, int flags)');
  const close: (fd: number) => number = libc.func('int close(int fd)');

  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return undefined;
  const queue = Buffer.alloc(4);
  queue.writeInt32LE(QUEUE_OCTETS);
  setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, queue, queue.length); // else as much as there is
  const address = Buffer.alloc(ADDRESS_OCTETS);
  address.writeUInt16LE(AF_NETLINK);
  address.writeUInt32LE(RTMGRP_LINK, 8);
  if (bind(fd, address, address.length) !== 0) {
    close(fd);
    return undefined;
  }
  const bytes = Buffer.alloc(MESSAGE_OCTETS);
  return {
    take: () => {
      const news: LinkNews[] = [];
      let isTooMuch = false;
      for (let i = 0; i < MOST_MESSAGES; i++) {
        const octets = Number(receive(fd, bytes, bytes.length, MSG_DONTWAIT));
        if (octets >= 0) news.push(...readLinkNews(bytes.subarray(0, octets)));
        else if (lastErrno() === constants.errno.EAGAIN) return isTooMuch ? 'too much' : news;
        // What the queue holds is older than what it had no room for: it is over as well.
        else isTooMuch = true;
      }
      return 'too much';
    },
    close: () => {
      close(fd);
    },
  };
}

/** One datagram of rtnetlink, which may hold several messages. */
export function readLinkNews(bytes: Buffer): LinkNews[] {
  const news: LinkNews[] = [];
  for (let at = 0; at + ATTRIBUTES <= bytes.length;) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER_OCTETS || at + length > bytes.length) break;
    const message = bytes.subarray(at, at + length);
    const type = message.readUInt16LE(4);
    // A bridge tells of its ports in the same words, with its own family.
    const isLink = message.length >= ATTRIBUTES && message[HEADER_OCTETS] === AF_UNSPEC;
    if (isLink && (type === RTM_NEWLINK || type === RTM_DELLINK)) {
      const index = message.readInt32LE(HEADER_OCTETS + 4);
      const name = type === RTM_DELLINK ? undefined : nameIn(message);
      if (type === RTM_DELLINK || name !== undefined) news.push({ index, name });
    }
    at += aligned(length);
  }
  return news;
}

function nameIn(message: Buffer): string | undefined {
  for (let at = ATTRIBUTES; at + ATTRIBUTE_HEADER_OCTETS <= message.length;) {
    const length = message.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_OCTETS || at + length > message.length) break;
    if (message.readUInt16LE(at + 2) === IFLA_IFNAME) {
      const text = message.toString('utf8', at + ATTRIBUTE_HEADER_OCTETS, at + length);
      return text.replace(/\0.*$/s, '');
    }
    at += aligned(length);
  }
  return undefined;
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}
