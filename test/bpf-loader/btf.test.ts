import t from 'tap';
import { readBtf, readTypeWords } from '../../src/bpf-loader/btf.js';

// struct pair { unsigned int number; unsigned char bytes[4]; }; enum colour { RED = 3 };
const BTF = Buffer.from(
  [
    '9feb 01 00 18000000', // magic, version, flags, header length 24
    '00000000 70000000', // types at 0, 112 octets
    '70000000 27000000', // strings at 112, 39 octets
    '01000000 00000001 04000000 20000000', // [1] INT "int", 4 octets, 32 bits
    '05000000 00000001 01000000 08000000', // [2] INT "char", 1 octet, 8 bits
    '00000000 00000003 00000000 02000000 01000000 04000000', // [3] ARRAY of [2], index [1], 4
    '0a000000 02000004 08000000', // [4] STRUCT "pair", 2 members, 8 octets
    '0f000000 01000000 00000000', // "number", [1], bit 0
    '16000000 03000000 20000000', // "bytes", [3], bit 32
    '1c000000 01000006 04000000', // [5] ENUM "colour", 1 entry
    '23000000 03000000', // "RED" = 3
    '00 696e7400 6368617200 7061697200 6e756d62657200 627974657300 636f6c6f757200 52454400',
  ]
    .join('')
    .replace(/\s/g, ''),
  'hex',
);

void t.test('structures and enumerations are read', async (t) => {
  const types = readBtf(BTF);
  t.same(types.structs.get('pair'), {
    size: 8,
    fields: { number: { offset: 0, size: 4 }, bytes: { offset: 4, size: 4 } },
  });
  t.same(types.enums.get('colour'), { RED: 3 });
});

void t.test('what is not BTF is refused', async (t) => {
  t.throws(() => readBtf(Buffer.alloc(64)), { name: 'RangeError', message: /wrong magic/ });
  t.throws(() => readBtf(Buffer.alloc(3)), { name: 'RangeError' });
});

void t.test('types are told in words that say where every octet stands', async (t) => {
  const words = readTypeWords(BTF);
  t.equal(words(4), 'pair{number@0:i4,bytes@32:i1[4]}8');
  t.equal(words(5), 'colour(RED=3)');
  t.equal(words(0), 'void');
  t.throws(() => words(6), { name: 'RangeError' });
});
