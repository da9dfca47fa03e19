// How messages reach a collector. UDP is one way; tests and files are others.

export interface MessageTransport {
  /** Where the messages go, for error messages. */
  readonly destination: string;
  open(): Promise<void>;
  /**
   * Sends the first `octets` of `bytes` as one message; `bytes` may be reused once it resolves.
   * Rejects with an ExportError when the message is lost.
   */
  send(bytes: Buffer, octets: number): Promise<void>;
  /** How often the collector was found not to listen; each time, a message was lost. */
  refusals(): number;
  close(): Promise<void>;
}
