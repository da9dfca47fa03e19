// The one error class of the exporter. Its message says what was tried, on what, why it failed
// and what to do about it.

type ExportErrorCode =
  /** An option is out of its range, or options contradict each other. */
  | 'bad-option'
  /** The collector's or the source's name has no address. */
  | 'name-lookup'
  /** The source port is taken. */
  | 'address-in-use'
  /** No socket to the collector, for another reason. */
  | 'connect'
  /** One message was not sent. */
  | 'send'
  /** The connection ended; the message belongs into the next session. */
  | 'session-lost'
  /** What the last run left cannot be understood. */
  | 'damaged'
  /** It was encoded for another configuration. */
  | 'other-templates'
  /** Used before open() or after close(). */
  | 'not-open';

export class ExportError extends Error {
  override readonly name = 'ExportError';
  readonly code: ExportErrorCode;
  /** What was tried, on what. */
  readonly operation: string;

  constructor(code: ExportErrorCode, operation: string, reason: string, cause?: unknown) {
    super(`${operation}: ${reason}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.operation = operation;
  }
}

/** The code of a system error such as ECONNREFUSED, or its text where it has none. */
export function systemErrorCode(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
