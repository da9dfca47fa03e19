// Text that others chose - a process may call itself anything - made fit for a terminal.

/**
 * Controls, format characters (which can reverse the direction of text), surrogates, private and
 * unassigned code points, line and paragraph separators: none of them has business in a name. The
 * backslash is escaped too, so that an escape cannot be mistaken for a name that looks like one.
 */
const UNFIT = /[\p{C}\p{Zl}\p{Zp}\\]/gu;
const STEERING = /[\p{C}\p{Zl}\p{Zp}]/gu;
const COMBINING = /\p{M}/gu;
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/gu;

/** The text with what is unfit written as \x1b or \u{202e}. */
export function printable(text: string): string {
  return text.replace(UNFIT, (character) => (character === '\\' ? '\\\\' : escaped(character)));
}

/**
 * A line of the program's own, which may quote what others chose: a certificate's name, a file's, an
 * interface's. Backslashes stay: a part may be printable already.
 */
export function harmlessLine(line: string): string {
  return line.replace(STEERING, escaped);
}

/** The same of a text with ends of lines. */
export function harmlessLines(text: string): string {
  return text.replace(STEERING, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  );
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  return code < 0x100 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
}

/** JSON in which each character that is unfit for a terminal is a \uXXXX. */
export function printableJson(value: unknown): string {
  // Outside of its strings JSON is plain ASCII, and the backslashes are its own.
  return JSON.stringify(value).replace(STEERING, (character) => {
    let units = '';
    for (let unit = 0; unit < character.length; unit++) {
      units += `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`;
    }
    return units;
  });
}

/** Columns that printable text takes on a terminal. */
export function displayWidth(text: string): number {
  const characters = Array.from(text).length;
  return characters - (text.match(COMBINING)?.length ?? 0) + (text.match(WIDE)?.length ?? 0);
}

/** The text, or what of it fits into `width` columns with an ellipsis. */
export function cutEnd(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let columns = 1; // the ellipsis
  let end = 0;
  for (const character of text) {
    columns += displayWidth(character);
    if (columns > width) break;
    end += character.length;
  }
  return `${text.slice(0, end)}…`;
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text;
}
