// How messages reach a collector, or a file. Each way is a file of its own.

export interface MessageTransport {
  /** Where the messages go, for error messages: "udp://192.0.2.1:9995". */
  readonly destination: string;
  /**
   * Nothing is lost within a session, and a receiver that is too slow makes send() wait. Otherwise
   * (UDP) messages are spread over time, and templates are repeated.
   */
  readonly isReliable: boolean;
  /** Rejects with an ExportError when it can never work. A collector that is only away is awaited. */
  open(): Promise<void>;
  /**
   * Waits for a Transport Session and resolves to its number. Another number than the last one: this
   * collector, or file, has no templates yet, and sequence numbers begin anew. Rejects with an
   * ExportError `not-open` once it is closed.
   */
  ready(): Promise<number>;
  /**
   * Sends the first `octets` of `bytes` as one message of the session; `bytes` may be reused once it
   * resolves. Rejects with an ExportError: `session-lost` when the session has ended, so that the
   * message belongs into the next one; any other code when the message is lost.
   */
  send(bytes: Buffer, octets: number): Promise<void>;
  /**
   * The same for the first of several messages, and for as many more as go with it; resolves to how many.
   * Left out where one message at a time is as good.
   */
  sendMany?(messages: readonly Buffer[]): Promise<number>;
  /**
   * Whether send() now waits for a receiver that is too slow, though the transport is not reliable: messages
   * need not be spread over time then.
   */
  hasFlowControl?(): boolean;
  /**
   * How many messages of the session, from its first one, have surely arrived at the receiving host.
   * Where nobody says (UDP): all that were sent. After `session-lost` that session's last word, until
   * ready() resolves.
   */
  confirmed(): number;
  /** How often the collector was found not to listen; each time, over UDP, a message was lost. */
  refusals(): number;
  /** Looks up now where the collector is; left out where it is looked up for each session. */
  refresh?(): void;
  /** Sends nothing more. Pending calls reject with `not-open`. */
  close(): Promise<void>;
}
