// The few functions of libc that Node does not offer, through koffi.
import koffi from 'koffi';
import { copyMemory } from './memory.js';

const timespec = koffi.struct('timespec', { tv_sec: 'int64_t', tv_nsec: 'int64_t' });

function libc(declaration: string) {
  return koffi.load('libc.so.6').func(declaration);
}

export interface Libc {
  /** A clock in nanoseconds: CLOCK_REALTIME or CLOCK_BOOTTIME. */
  readonly clockNs: (clock: number) => bigint;
  /** Moves the calling thread into the network namespace; 0 or -1. */
  readonly enterNetworkNamespace: (fd: number) => number;
  /** Index of an interface in the thread's network namespace, 0 when there is none. */
  readonly interfaceIndex: (name: string) => number;
  /**
   * Takes the writer's lock of a whole file, which belongs to the open file, without waiting for it; 0 or
   * -1. The file must be open for writing.
   */
  readonly lockFile: (fd: number) => number;
  /** The lock that lockFile() would meet now. */
  readonly lockOf: (fd: number) => 'write' | 'read' | 'none' | undefined;
  /** ARPHRD_ number of the interface's link layer, or undefined when it is gone. */
  readonly linkType: (name: string) => number | undefined;
  /** The mask of its first IPv4 address, highest octet first; undefined when it has no address. */
  readonly netmask: (name: string) => number | undefined;
  /** All interfaces of the thread's network namespace: index to name. */
  readonly interfaces: () => Map<number, string>;
}

export const CLOCK_REALTIME = 0;
export const CLOCK_BOOTTIME = 7;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** struct flock: short l_type, l_whence; off_t l_start, l_len (0: to the end); pid_t l_pid */
const FLOCK_OCTETS = 32;
const LOCK_EX_NB = 6;
const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFHWADDR = 0x8927;
const SIOCGIFNETMASK = 0x891b;
const IFREQ_OCTETS = 40;
const IF_NAME_OCTETS = 16;
/** Of the IPv4 address in a struct ifreq: after the name, the family and the port. */
const IFREQ_ADDRESS = IF_NAME_OCTETS + 4;
const IF_NAMEINDEX_OCTETS = 16; // struct if_nameindex: unsigned index, 4 of padding, char *name

const LOCK_TYPES: ReadonlyMap<number, 'write' | 'read' | 'none'> = new Map([
  [F_RDLCK, 'read'],
  [F_WRLCK, 'write'],
  [F_UNLCK, 'none'],
]);

/** Of the whole file, which is what zeros say. */
function writerLock(): Buffer {
  const lock = Buffer.alloc(FLOCK_OCTETS);
  lock.writeInt16LE(F_WRLCK, 0);
  return lock;
}

export function loadLibc(): Libc {
  const clockGettime: (clock: number, time: object) => number = koffi
    .load('libc.so.6')
    .func('clock_gettime', 'int', ['int', koffi.out(koffi.pointer(timespec))]);
  const setns: (fd: number, type: number) => number = libc('int setns(int fd, int type)');
  const nameToIndex: (name: string) => number = libc('uint32_t if_nametoindex(str name)');
  const nameIndex: () => bigint | null = libc('void *if_nameindex()');
  const freeNameIndex: (list: bigint) => void = libc('void if_freenameindex(void *list)');
  const socket: (family: number, type: number, protocol: number) => number = libc(
    'int socket(int family, int type, int protocol)',
  );
  const ioctl: (fd: number, request: number, argument: Buffer) => number = libc(
    'int ioctl(int fd, unsigned long request, void *argument)',
  );
  const fcntl: (fd: number, command: number, argument: Buffer) => number = libc(
    'int fcntl(int fd, int command, void *argument)',
  );
  const close: (fd: number) => number = libc('int close(int fd)');
  const stringLength: (text: bigint) => number | bigint = libc('size_t strlen(void *text)');

  /** What the kernel says of an interface: struct ifreq. */
  const askInterface = (name: string, request: number): Buffer | undefined => {
    const ifreq = Buffer.alloc(IFREQ_OCTETS);
    ifreq.write(name, 0, IF_NAME_OCTETS - 1, 'utf8');
    const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return undefined;
    try {
      return ioctl(fd, request, ifreq) === 0 ? ifreq : undefined;
    } finally {
      close(fd);
    }
  };

  return {
    clockNs: (clock) => {
      const time = { tv_sec: 0, tv_nsec: 0 };
      clockGettime(clock, time);
      return BigInt(time.tv_sec) * 1_000_000_000n + BigInt(time.tv_nsec);
    },
    enterNetworkNamespace: (fd) => setns(fd, CLONE_NEWNET),
    interfaceIndex: nameToIndex,
    lockFile: (fd) => fcntl(fd, F_OFD_SETLK, writerLock()),
    lockOf: (fd) => {
      const lock = writerLock();
      return fcntl(fd, F_OFD_GETLK, lock) === 0 ? LOCK_TYPES.get(lock.readInt16LE(0)) : undefined;
    },
    linkType: (name) => askInterface(name, SIOCGIFHWADDR)?.readUInt16LE(IF_NAME_OCTETS),
    netmask: (name) => askInterface(name, SIOCGIFNETMASK)?.readUInt32BE(IFREQ_ADDRESS),
    interfaces: () => {
      const found = new Map<number, string>();
      const list = nameIndex();
      if (list === null) return found;
      for (let at = list; ; at += BigInt(IF_NAMEINDEX_OCTETS)) {
        const entry = copyMemory(at, IF_NAMEINDEX_OCTETS);
        const name = entry.readBigUInt64LE(8);
        if (name === 0n) break;
        found.set(entry.readUInt32LE(0), copyMemory(name, Number(stringLength(name))).toString());
      }
      freeNameIndex(list);
      return found;
    },
  };
}

/** flock(2) for one alone, without waiting: for directories, which cannot be open for writing; 0 or -1. */
export function lockDirectory(fd: number): number {
  const flock: (fd: number, operation: number) => number = libc('int flock(int fd, int operation)');
  return flock(fd, LOCK_EX_NB);
}
