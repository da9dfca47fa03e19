// Where a source puts flow records that it takes away elsewhere: until all sinks have them, they are nowhere
// else, and must not go with a process that is killed.

export interface BatchMemory {
  /** For one batch of flow records. Records are read to its start. */
  readonly bytes: Buffer;
  /** Octets of records that the last run had read and that not all of its sinks have. They come first. */
  readonly leftOctets: number;
  /** To be called before records are read into it; those that were there are gone. */
  begin(): void;
  /** These are read, and go to the sinks now. */
  hand(octets: number): Buffer;
  /** All sinks have the batch. */
  commit(): void;
}
