// Who is at the other end of a Unix socket: Node does not tell.
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import { SOL_SOCKET, SO_PEERCRED, loadLibcSockets } from './native/libc-sockets.js';
import { lastErrno } from './native/memory.js';

/** struct ucred: pid, uid, gid */
const UCRED_OCTETS = 12;
const UID_OFFSET = 4;

/**
 * The effective user of the process that connected, at the time when it did.
 * @param fd of a connected Unix socket
 * @throws BpfError ENOTSOCK and the like
 */
export function peerUserId(fd: number): number {
  const credentials = Buffer.alloc(UCRED_OCTETS);
  if (loadLibcSockets().getOption(fd, SOL_SOCKET, SO_PEERCRED, credentials) !== 0) {
    throw new BpfError(getSystemErrorName(-lastErrno()), 'ask who is connected', '');
  }
  return credentials.readUInt32LE(UID_OFFSET);
}
