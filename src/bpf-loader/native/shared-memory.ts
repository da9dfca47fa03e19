// Memory that this process shares with a file or with a BPF map: what is stored there is there at once,
// and stays however the process ends.
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { BpfError } from '../bpf-error.js';
import { lastErrno } from './memory.js';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x1;
const MAP_PRIVATE = 0x2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const FAILED = 2n ** 64n - 1n;

/** Gives a bigint only where a number is not exact. */
type Mmap = (
  address: number | bigint,
  octets: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => number | bigint;

/**
 * All of a file or of a map with BPF_F_MMAPABLE, from its first octet. `fd` may be closed after.
 * @throws BpfError
 */
export function mapShared(fd: number, octets: number): Buffer {
  const address = BigInt(loadMmap()(0, octets, PROT_READ_WRITE, MAP_SHARED, fd, 0));
  if (address === FAILED) {
    throw new BpfError(getSystemErrorName(-lastErrno()), `map ${octets} octets of memory`, '');
  }
  return Buffer.from(koffi.view(address, octets));
}

/**
 * Ends the sharing. Whoever still holds a part of the memory finds nothing there, and changes nothing: the
 * addresses stay taken by empty memory, because JavaScript cannot be told that they are gone.
 */
export function unmapShared(bytes: Buffer): void {
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
  const address = koffi.address(bytes.buffer);
  loadMmap()(address, bytes.length, PROT_READ_WRITE, flags, -1, 0);
}

/**
 * Takes the room for a file of that length on the disk, as writes that never fail need it. Returns an
 * errno: 0, or a positive one.
 */
export function allocateFile(fd: number, octets: number): number {
  const allocate: (fd: number, offset: number, octets: number) => number = koffi
    .load('libc.so.6')
    .func('int posix_fallocate(int fd, int64_t offset, int64_t octets)');
  return allocate(fd, 0, octets);
}

function loadMmap(): Mmap {
  return koffi
    .load('libc.so.6')
    .func(
      'uintptr_t mmap(uintptr_t address, size_t octets, int protection, int flags, int fd, int64_t offset)',
    );
}
