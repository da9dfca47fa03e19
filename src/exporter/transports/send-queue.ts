// What the peer's kernel has not acknowledged of a TCP connection. Node knows only what it handed to
// its own kernel, and that may never arrive; the daemon hands over what can ask the kernel.
import type { Socket } from 'node:net';

export interface SendQueue {
  /** Octets that were written and are not acknowledged; also after a reset, until close(). */
  readonly octets: () => number;
  /** To be called before the connection's own end: until then the kernel keeps it. */
  readonly close: () => void;
}

/** @param fd of a connection; it stays the caller's, and may be closed */
export type SendQueueOpener = (fd: number) => SendQueue;

/** node:net's own: not documented, so it may be gone. */
interface StreamHandle {
  readonly fd?: number;
  /** What libuv has not yet handed to the kernel. */
  readonly writeQueueSize?: number;
}

function handleOf(socket: Socket): StreamHandle {
  return (socket as { _handle?: StreamHandle | null })._handle ?? {};
}

export function openSendQueueOf(socket: Socket, open: SendQueueOpener): SendQueue | undefined {
  const { fd = -1 } = handleOf(socket);
  return fd < 0 ? undefined : open(fd);
}

/** Octets of the connection that left Node, TLS included; undefined where Node does not tell. */
export function octetsInKernel(socket: Socket): number | undefined {
  const { writeQueueSize: waiting } = handleOf(socket);
  return waiting === undefined ? undefined : socket.bytesWritten - waiting;
}
