// Who meters an interface by clsact filters. Those of two procflows have the same handle, by which
// a start replaces what a crash left: without a lock it would replace a running one's as well.
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import { capabilityBits, effectiveCapabilities } from './capabilities.js';
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_PEERCRED,
  loadLibcSockets,
  type LibcSockets,
} from './native/libc-sockets.js';
import { lastErrno } from './native/memory.js';

/** struct ucred: pid, uid, gid */
const UCRED_OCTETS = 12;

/**
 * Locks an interface of the calling thread's network namespace: by a name in the namespace's table of Unix
 * sockets, which needs no directory and is gone with its process, in whatever way that ends.
 * @returns what releases it
 * @throws BpfError EBUSY when another process meters it
 */
export function lockInterface(ifindex: number, interfaceName: string): () => void {
  const sockets = loadLibcSockets();
  const name = lockName(ifindex);
  const operation = `meter interface ${interfaceName}`;
  const fd = openSocket(sockets, operation);
  if (sockets.bind(fd, name) === 0 && sockets.listen(fd, 1) === 0) {
    return () => {
      sockets.close(fd);
    };
  }
  const errno = lastErrno();
  sockets.close(fd);
  if (errno !== constants.errno.EADDRINUSE) {
    throw new BpfError(getSystemErrorName(-errno), operation, '');
  }
  const pid = holder(sockets, name, operation);
  // Anybody may take a name; but whoever could not set a filter keeps nobody from it.
  if (pid !== undefined && !mayMeter(pid)) return () => undefined;
  const who = pid === undefined ? 'another procflow' : `another procflow, process ${pid},`;
  throw new BpfError('EBUSY', operation, `${who} meters it by clsact; stop that one first`);
}

/** struct sockaddr_un of an abstract name: the family, a NUL, the name. */
function lockName(ifindex: number): Buffer {
  const address = Buffer.from(`xx\0procflow-clsact-${ifindex}`);
  address.writeUInt16LE(AF_UNIX, 0);
  return address;
}

function openSocket(sockets: LibcSockets, operation: string): number {
  const fd = sockets.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new BpfError(getSystemErrorName(-lastErrno()), operation, '');
  return fd;
}

/** The process that listens there; undefined when it does not say so. */
function holder(sockets: LibcSockets, name: Buffer, operation: string): number | undefined {
  const fd = openSocket(sockets, operation);
  try {
    const credentials = Buffer.alloc(UCRED_OCTETS);
    if (sockets.connect(fd, name) !== 0) return undefined;
    if (sockets.getOption(fd, SOL_SOCKET, SO_PEERCRED, credentials) !== 0) return undefined;
    return credentials.readInt32LE(0);
  } finally {
    sockets.close(fd);
  }
}

function mayMeter(pid: number): boolean {
  try {
    const effective = effectiveCapabilities(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return (effective & capabilityBits(['CAP_NET_ADMIN'])) !== 0n;
  } catch {
    return true; // in another pid namespace, or hidden
  }
}
