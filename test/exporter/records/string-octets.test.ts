import fc from 'fast-check';
import t from 'tap';
import { writeString } from '../../../src/exporter/records/string-octets.js';

interface Written {
  readonly text: string;
  readonly isWhole: boolean;
}

/** Fails if octets outside of the place given to the string change. */
function write(source: Uint8Array, limit: number): Written {
  const framed = Buffer.concat([Buffer.from('<'), source, Buffer.from('>')]);
  const out = Buffer.alloc(limit + 8, 0xee);
  const result = writeString(framed, 1, source.length, out, 4, limit);
  const octets = result < 0 ? ~result : result;
  const outside = Buffer.concat([out.subarray(0, 4), out.subarray(4 + octets)]);
  if (octets > limit || !outside.every((octet) => octet === 0xee)) throw new Error('out of bounds');
  const text = new TextDecoder('utf-8', { fatal: true }).decode(out.subarray(4, 4 + octets));
  return { text, isWhole: result >= 0 };
}

const CASES = [
  { name: 'a plain name', input: 'curl', expected: 'curl' },
  { name: 'nothing', input: '', expected: '' },
  { name: 'what is behind a NUL', input: 'curl\0rest', expected: 'curl' },
  { name: 'a quote and a backslash', input: 'a"b\\c', expected: 'a_b_c' },
  { name: 'controls', input: 'a\tb\nc\x1b[2Jd\x7f', expected: 'a_b_c_[2Jd_' },
  { name: 'controls of C1', input: 'a\u0085b\u009bc', expected: 'a_b_c' },
  { name: 'the first character behind C1', input: 'a\u00a0b', expected: 'a\u00a0b' },
  { name: 'characters of 2, 3 and 4 octets', input: 'äż€😀', expected: 'äż€😀' },
] as const;

t.test('names are sanitised', async (t) => {
  for (const { name, input, expected } of CASES) {
    t.same(write(Buffer.from(input), 64), { text: expected, isWhole: true }, name);
  }
});

const BROKEN = [
  { name: 'an octet that starts nothing', input: '61ff62', expected: 'a_b' },
  { name: 'a continuation alone', input: '618062', expected: 'a_b' },
  { name: 'an overlong slash', input: 'c0af', expected: '__' },
  { name: 'an overlong NUL of 3', input: 'e0808061', expected: '___a' },
  { name: 'a surrogate', input: 'eda08061', expected: '___a' },
  { name: 'above U+10FFFF', input: 'f490808061', expected: '____a' },
  { name: 'a lead octet before a letter', input: 'e28261', expected: '__a' },
  { name: 'a character that the kernel cut', input: '61e282', expected: 'a' },
  { name: 'a character that a NUL cuts', input: '61e20082', expected: 'a' },
] as const;

t.test('what is no UTF-8 is replaced, what is cut short is left out', async (t) => {
  for (const { name, input, expected } of BROKEN) {
    t.same(write(Buffer.from(input, 'hex'), 64), { text: expected, isWhole: true }, name);
  }
});

t.test('a name too long ends with its last whole character', async (t) => {
  t.same(write(Buffer.from('abcdef'), 6), { text: 'abcdef', isWhole: true });
  t.same(write(Buffer.from('abcdef'), 5), { text: 'abcde', isWhole: false });
  t.same(write(Buffer.from('abc€'), 5), { text: 'abc', isWhole: false });
  t.same(write(Buffer.from('abc€'), 6), { text: 'abc€', isWhole: true });
  t.same(write(Buffer.from('a'), 0), { text: '', isWhole: false });
});

t.test('any octets give valid UTF-8 that nothing can be escaped from', async () => {
  const octet = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0x22, 0x5c, 0xc2, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0xed, 0x80),
  );
  const property = fc.property(
    fc.array(octet, { maxLength: 40 }),
    fc.integer({ min: 0, max: 40 }),
    (octets, limit) => {
      const { text } = write(Uint8Array.from(octets), limit);
      return !/["\\\p{Cc}]/u.test(text);
    },
  );
  fc.assert(property, { numRuns: 2000 });
});

t.test('good text within the limit comes out as it was', async () => {
  const property = fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (string) => {
    fc.pre(!/["\\\p{Cc}]/u.test(string));
    return write(Buffer.from(string), 80).text === string;
  });
  fc.assert(property);
});
