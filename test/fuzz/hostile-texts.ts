// Texts as somebody chooses them who means harm: what steers a terminal, ends a string, breaks UTF-8, looks
// like something else, or is long.
import type { Random } from './random.js';

const PIECES: readonly string[] = [
  ...['\x1b[2J', '\x1b]0;title\x07', '\x1b[31m', '\x9b31m', '\x1bP', '\x08\x08', '\r', '\n', '\t'],
  ...['\0', '\x7f', '\u0085', '\u00a0', '\u202e', '\u2066', '\u200f', '\u2028', '\u2029'],
  ...['\ufeff', '\ufffd', '\uffff', '\ud800', '\udc00', '\u{e0041}', '\u{f0000}', 'e\u0301'],
  ...['"', "'", '\\', '\\\\', '","a":"', '"}]', '{', '}', '{{', '{comm}', '{pid}', '<b>', '&amp;'],
  ...['%s%n', '$(id)', '`id`', ';', '|', ',', ' ', '..', '/', '../', '(', ')', '[1]', ')) S 1 (1'],
  ...['0', '-1', '4294967296', '1e999', 'NaN', 'Infinity', '0x10', '__proto__', 'constructor'],
  ...['toString', 'null', 'curl', 'zoë', '日本', '😀', 'docker', '.service', '.slice', 'kubepods'],
  ...['a'.repeat(300), '日'.repeat(100), '\\x1b', '\\x2d', ':', '::', '=', '?', '&', '#', '@', '*'],
];

export function hostileText(random: Random, mostPieces = 6): string {
  const pieces = Array.from({ length: random.below(mostPieces + 1) }, () =>
    random.oneIn(5) ? String.fromCodePoint(random.below(0x110000)) : random.pick(PIECES),
  );
  return pieces.join('');
}

/** The same as octets, which need not be UTF-8. */
export function hostileOctets(random: Random, most: number): Buffer {
  const bytes = random.oneIn(4)
    ? random.octets(random.below(most + 1))
    : Buffer.from(hostileText(random), random.oneIn(4) ? 'latin1' : 'utf8').subarray(0, most);
  if (bytes.length > 0 && random.oneIn(4)) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

/** Nothing of it may reach a terminal: controls, format characters, what is not assigned. */
const STEERING = /[\p{C}\p{Zl}\p{Zp}]/u;

/** @throws where something in it, besides ends of lines, steers a terminal */
export function expectHarmless(text: string, what: string): void {
  const found = STEERING.exec(text.replaceAll('\n', ''));
  if (found === null) return;
  const code = found[0].codePointAt(0)?.toString(16) ?? '';
  throw new Error(`${what} has U+${code}: ${JSON.stringify(text.slice(0, 2000))}`);
}
