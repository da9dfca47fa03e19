// Names on their way into a record. A process chooses its own name freely, and nfdump for one
// escapes nothing in its JSON, so what could end a string or steer a terminal is replaced here.

const REPLACEMENT = 0x5f; // _
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DELETE = 0x7f;

const INVALID = 0;
const CUT_SHORT = -1;

/**
 * Copies a string up to its NUL or `octets`, whichever comes first, as valid UTF-8 without
 * quotes, backslashes and control characters, and ends it at the last whole character within
 * `limit`. Returns the octets written; as their complement (~written, negative) where some of
 * the string did not fit. A character that the source itself cuts short is left out.
 */
export function writeString(
  source: Uint8Array,
  start: number,
  octets: number,
  out: Uint8Array,
  at: number,
  limit: number,
): number {
  const end = start + octets;
  let from = start;
  let written = 0;
  while (from < end) {
    const lead = source[from] ?? 0;
    if (lead === 0) break;
    const character = characterOctets(source, from, end);
    if (character === CUT_SHORT) break;
    const isKept = character !== INVALID && !isForbidden(source, from, lead);
    const length = isKept ? character : 1;
    if (written + length > limit) return ~written;
    if (isKept) {
      for (let i = 0; i < character; i++) out[at + written + i] = source[from + i] ?? 0;
    } else {
      out[at + written] = REPLACEMENT;
    }
    written += length;
    from += character === INVALID ? 1 : character;
  }
  return written;
}

/** C0, DEL and C1 control characters, the quote and the backslash. */
function isForbidden(source: Uint8Array, at: number, lead: number): boolean {
  if (lead < 0x80) return lead < 0x20 || lead === QUOTE || lead === BACKSLASH || lead === DELETE;
  return lead === 0xc2 && (source[at + 1] ?? 0) < 0xa0;
}

/** Octets of the character at `at` by the table of RFC 3629 §4; INVALID; or CUT_SHORT. */
function characterOctets(source: Uint8Array, at: number, end: number): number {
  const lead = source[at] ?? 0;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return INVALID;
  const octets = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // Overlong forms, surrogates and what is above U+10FFFF all show in the second octet.
  let lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  let highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < octets; i++) {
    if (at + i >= end) return CUT_SHORT;
    const next = source[at + i] ?? 0;
    // A NUL ends the string, so what it cuts is cut short and not wrong.
    if (next === 0) return CUT_SHORT;
    if (next < lowest || next > highest) return INVALID;
    lowest = 0x80;
    highest = 0xbf;
  }
  return octets;
}
