// A capture file of which nothing, or not everything, can be metered.
import { CaptureFileError } from '../capture-file/capture-parser.js';

export class CaptureInputError extends Error {
  /** errno's name, a fault of the file's, or LINK_TYPE. */
  readonly code: string;

  /** @param name of the file @param cause what reading it threw, or why nothing can be read */
  constructor(name: string, cause: unknown) {
    super(`read ${name}: ${reasonOf(cause)}`, { cause });
    this.name = 'CaptureInputError';
    this.code = codeOf(cause);
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read',
  EPERM: 'it may not be read',
  EISDIR: 'it is a directory: give a file',
};

function reasonOf(cause: unknown): string {
  if (cause instanceof CaptureFileError) {
    const where =
      cause.code === 'NOT_A_CAPTURE' ? 'it is no capture' : `broken at octet ${cause.place}`;
    return `${where}: ${cause.message}`;
  }
  if (!(cause instanceof Error)) return String(cause);
  const code = codeOf(cause);
  const advice = ADVICE[code];
  return advice === undefined ? cause.message : `${code} (${advice})`;
}

function codeOf(cause: unknown): string {
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string')
    return cause.code;
  return 'LINK_TYPE';
}
