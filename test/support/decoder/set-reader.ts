// What the readers of sets have in common: where the format differs, where the contents go, and
// what is an error in strict mode only.
import { DecodeError, type DecodeErrorCode } from './decode-error.js';
import type { MessageContents } from './decoded-message.js';
import type { OctetCursor } from './octet-cursor.js';
import type { DomainTemplates } from './template-memory.js';

/** Where NetFlow v9 (RFC 3954) and IPFIX (RFC 7011) differ in their sets. */
export interface SetFormat {
  readonly templateSetId: number;
  readonly optionsTemplateSetId: number;
  /** Enterprise numbers, variable lengths, withdrawals, scopes that are elements. */
  readonly isIpfix: boolean;
  /** Longest padding of a data set. RFC 7011 has no limit but the record. */
  readonly maxPaddingOctets: number;
  /** Where the standard has its rules, for messages. */
  readonly rules: {
    readonly setIds: string;
    readonly sets: string;
    readonly templates: string;
    readonly optionsTemplates: string;
    readonly padding: string;
  };
}

export interface SetReading {
  readonly format: SetFormat;
  readonly isStrict: boolean;
  /** TCP or a file: templates last until they are withdrawn. */
  readonly isStream: boolean;
  readonly templates: DomainTemplates;
  readonly contents: MessageContents;
}

/** Strict mode: what the standard forbids. @throws DecodeError */
export function refuse(
  { isStrict }: { readonly isStrict: boolean },
  code: DecodeErrorCode,
  offset: number,
  operation: string,
  reason: string,
): void {
  if (isStrict) throw new DecodeError(code, offset, operation, reason);
}

/** Counts the rest of a set as padding, and moves behind it. */
export function skipPadding(set: OctetCursor, maxOctets: number, reading: SetReading): void {
  const { contents, format } = reading;
  const rule = format.rules.padding;
  if (!set.isZero) refuse(reading, 'bad-padding', set.at, 'skip padding', `not zero (${rule})`);
  if (set.left > maxOctets) {
    const reason = `${set.left} octets, more than ${maxOctets} (${rule})`;
    refuse(reading, 'bad-padding', set.at, 'skip padding', reason);
  }
  contents.paddingOctets += set.left;
  set.at = set.end;
}
