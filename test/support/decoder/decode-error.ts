// The one error of the decoder: whatever octets come, they give records or this.

export type DecodeErrorCode =
  /** The octets end before what they announce. */
  | 'truncated'
  /** Octets behind the end of the message. */
  | 'trailing-octets'
  /** Neither 1, 5, 9 nor 10. */
  | 'unknown-version'
  /** A length that is shorter than the header it stands in. */
  | 'bad-length'
  /** A set id that is reserved. Strict only. */
  | 'bad-set-id'
  /** A set without a record. Strict only. */
  | 'empty-set'
  /** A template that no record can have. */
  | 'bad-template'
  /** A template with a known id and other fields, in a stream. Strict only. */
  | 'template-redefined'
  /** A withdrawal of nothing, or over UDP. Strict only. */
  | 'bad-withdrawal'
  /** Data for which no template is known. Strict only. */
  | 'unknown-template'
  /** Padding that is not zero or too long. Strict only. */
  | 'bad-padding'
  /** A header's count that is not the number of records. Strict only. */
  | 'bad-count'
  /** The memory for this sender's templates is used up. */
  | 'too-many-templates'
  /** Templates of empty fields ask for more values than a message can mean. */
  | 'too-many-values'
  /** A value was asked for that its octets are not. */
  | 'bad-value'
  /** A value was asked for that the record does not have. */
  | 'absent-value';

export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly code: DecodeErrorCode;
  /** Of the octet in the message (in a stream: in the message at hand; in a value: in it). */
  readonly offset: number;
  /** What was tried, on what. */
  readonly operation: string;

  constructor(code: DecodeErrorCode, offset: number, operation: string, reason: string) {
    super(`${operation} at octet ${offset}: ${reason}`);
    this.code = code;
    this.offset = offset;
    this.operation = operation;
  }
}
