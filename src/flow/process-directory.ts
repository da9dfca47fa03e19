// What user space adds to a flow's process: names that the kernel does not keep.
// Implemented in src/process, read by src/exporter and src/cli.

export interface ProcessDirectory {
  /** Login name of a user id as UTF-8, or the number in digits when the id has no name. */
  userName(uid: number): string;
  /** The same as bytes; the buffer is shared and must not be changed. */
  userNameBytes(uid: number): Uint8Array;
}
