import fc from 'fast-check';
import t from 'tap';
import {
  cutEnd,
  displayWidth,
  harmlessLine,
  harmlessLines,
  padEnd,
  padStart,
  printable,
  printableJson,
} from '../../src/cli/printable.js';

/** C0 and C1 controls, DEL, and what changes the direction or the place of other text. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;

const cases: readonly { name: string; input: string; expected: string }[] = [
  { name: 'plain', input: 'nginx: worker', expected: 'nginx: worker' },
  { name: 'other scripts', input: 'zoë-日本', expected: 'zoë-日本' },
  { name: 'terminal escape', input: '\x1b[2Jx', expected: '\\x1b[2Jx' },
  { name: 'newline, tab, NUL', input: 'a\nb\tc\0', expected: 'a\\x0ab\\x09c\\x00' },
  { name: 'one-octet CSI', input: '\u009b31m', expected: '\\x9b31m' },
  { name: 'DEL', input: '\x7f', expected: '\\x7f' },
  { name: 'right-to-left override', input: 'a\u202eb', expected: 'a\\u{202e}b' },
  { name: 'line separator', input: '\u2028', expected: '\\u{2028}' },
  { name: 'tag character', input: '\u{e0041}', expected: '\\u{e0041}' },
  { name: 'lone surrogate', input: '\ud800', expected: '\\u{d800}' },
  { name: 'a backslash is told from an escape', input: '\\x1b', expected: '\\\\x1b' },
];

t.test('printable escapes what a terminal would act on', async (t) => {
  for (const { name, input, expected } of cases) t.equal(printable(input), expected, name);
});

t.test("the program's own lines keep what is printable already", async (t) => {
  t.equal(harmlessLine('a\\x1b "b" \x1b[2J\nc\td'), 'a\\x1b "b" \\x1b[2J\\x0ac\\x09d');
  t.equal(harmlessLines('a\\\nb\tc\x1b\r\n'), 'a\\\nb\tc\\x1b\\x0d\n');
});

t.test('nothing harmful comes through, and no two names look the same', async (t) => {
  const text = fc.string({ unit: 'binary' });
  fc.assert(fc.property(text, (input) => !HARMFUL.test(printable(input))));
  fc.assert(fc.property(text, text, (a, b) => a === b || printable(a) !== printable(b)));
  t.pass();
});

t.test('printableJson means the same as JSON, without the harmful characters', async (t) => {
  t.equal(printableJson({ a: '\x1b\x7f\u009b' }), '{"a":"\\u001b\\u007f\\u009b"}');
  t.equal(printableJson('\u{e0041}'), '"\\udb40\\udc41"');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const json = printableJson({ text });
      return !HARMFUL.test(json) && (JSON.parse(json) as { text: string }).text === text;
    }),
  );
});

t.test('width counts what a terminal shows', async (t) => {
  t.equal(displayWidth('abc'), 3);
  t.equal(displayWidth('日本'), 4);
  t.equal(displayWidth('e\u0301'), 1, 'a combining accent');
  t.equal(displayWidth('🚀'), 2);
  t.equal(padEnd('日本', 6), '日本  ');
  t.equal(padStart('ab', 4), '  ab');
  t.equal(padEnd('abc', 2), 'abc');
});

t.test('a text that is too wide ends with an ellipsis', async (t) => {
  t.equal(cutEnd('abc', 3), 'abc');
  t.equal(cutEnd('abcd', 3), 'ab…');
  t.equal(cutEnd('日本語', 5), '日本…');
  t.equal(cutEnd('日本語', 4), '日…', 'no half of a character');
  t.equal(cutEnd('e\u0301e\u0301e\u0301', 2), 'e\u0301…', 'an accent stays with its letter');
  t.equal(cutEnd('abc', Infinity), 'abc');
});
