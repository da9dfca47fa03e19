// Memory that C owns, and what a call left in errno.
import koffi from 'koffi';

/** A copy of memory that C owns. */
export function copyMemory(address: bigint, octets: number): Buffer {
  return Buffer.from(Buffer.from(koffi.view(address, octets)));
}

/** Copies memory that C owns to `offset` of `target`. */
export function copyMemoryTo(
  target: Buffer,
  offset: number,
  address: bigint,
  octets: number,
): void {
  Buffer.from(koffi.view(address, octets)).copy(target, offset);
}

/** errno of the last call that failed: a positive number. */
export function lastErrno(): number {
  return koffi.errno();
}
