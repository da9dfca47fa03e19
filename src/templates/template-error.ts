// The one error class of this folder: what a user wants in a record, and cannot be there.

type TemplateErrorCode =
  /** The text of a format cannot be read. */
  | 'bad-format'
  /** A list of elements cannot be a template. */
  | 'bad-elements';

export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  readonly code: TemplateErrorCode;
  /** What was tried, on what. */
  readonly operation: string;
  readonly reason: string;
  /** What to give instead. */
  readonly advice: string;

  constructor(code: TemplateErrorCode, operation: string, reason: string, advice: string) {
    super(`${operation}: ${reason} (${advice})`);
    this.code = code;
    this.operation = operation;
    this.reason = reason;
    this.advice = advice;
  }
}
