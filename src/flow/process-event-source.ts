// Where news of processes comes from: the kernel, or a test. src/process sees only this interface.

export interface ProcessEventSource {
  /**
   * What happened since the last call, oldest first: events of the layout PROCESS_EVENT, each followed by
   * its strings. Empty when there is nothing more. Valid until the next call: the memory is reused.
   */
  take(): Buffer;
  /** Every process that lives now, as PROCESS_FOUND events. */
  list(): Buffer;
}
