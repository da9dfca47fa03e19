// Many datagrams in one call: sendmmsg(2), which node:dgram has not. A call of koffi costs as much as the
// system call itself, and a datagram sent by itself through libuv several times both.
import koffi from 'koffi';
import { lastErrno } from './memory.js';

/**
 * Sends one datagram each by a connected socket, in their order, without waiting; returns how many of them
 * went. When the first did not, a negative errno.
 */
export type SendDatagrams = (fd: number, datagrams: readonly Uint8Array[]) => number;

/** UIO_MAXIOV; of more datagrams these are sent, or as many as there are headers. */
const MOST_DATAGRAMS = 1024;
/** struct mmsghdr: struct msghdr, then the octets that were sent. */
const MMSGHDR_OCTETS = 64;
/** Of its msg_iov; msg_iovlen is behind it. The socket is connected: no name. */
const IOV_OFFSET = 16;
const IOV_COUNT_OFFSET = 24;
/** struct iovec: the address, the octets. */
const IOVEC_OCTETS = 16;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const WORD = 2 ** 32;

/** @param headers where the kernel is to note what went: an array of struct mmsghdr of the caller's */
export function loadSendDatagrams(
  headers: Buffer = Buffer.alloc(MOST_DATAGRAMS * MMSGHDR_OCTETS),
): SendDatagrams {
  const most = Math.floor(headers.length / MMSGHDR_OCTETS);
  const sendmmsg: (fd: number, headers: Buffer, count: number, flags: number) => number = koffi
    .load('libc.so.6')
    .func('int sendmmsg(int fd, void *headers, uint32_t count, int flags)');
  const vectors = Buffer.alloc(most * IOVEC_OCTETS);
  const addresses = new Addresses();
  const vectorsAt = addresses.of(vectors);
  headers.fill(0);
  for (let i = 0; i < most; i++) {
    writeNumber(headers, i * MMSGHDR_OCTETS + IOV_OFFSET, vectorsAt + i * IOVEC_OCTETS);
    writeNumber(headers, i * MMSGHDR_OCTETS + IOV_COUNT_OFFSET, 1);
  }
  return (fd, datagrams) => {
    const count = Math.min(datagrams.length, most);
    for (let i = 0; i < count; i++) {
      const bytes = datagrams[i];
      if (bytes === undefined) break;
      writeNumber(vectors, i * IOVEC_OCTETS, addresses.of(bytes));
      writeNumber(vectors, i * IOVEC_OCTETS + 8, bytes.length);
    }
    const sent = sendmmsg(fd, headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -lastErrno() : sent;
  };
}

/** Where buffers stand in memory. Many share one, and V8 moves none of them. */
class Addresses {
  readonly #known = new WeakMap<ArrayBufferLike, number>();

  /** As a number: user space has 47 bits of addresses, at most 56. */
  of({ buffer, byteOffset }: Uint8Array): number {
    let address = this.#known.get(buffer);
    if (address === undefined) {
      address = Number(koffi.address(buffer));
      this.#known.set(buffer, address);
    }
    return address + byteOffset;
  }
}

/** A pointer, or a size_t. */
function writeNumber(out: Buffer, at: number, value: number): void {
  out.writeUInt32LE(value % WORD, at);
  out.writeUInt32LE(Math.floor(value / WORD), at + 4);
}
