// What the translation does not take. What it makes of the rest is in test/kernel/filter-*.test.ts.
import t from 'tap';
import type { ClassicInstruction } from '../../../src/bpf-loader/filter/classic-bpf.js';
import { JumpTooFarError } from '../../../src/bpf-loader/filter/ebpf-assembler.js';
import { FRAME_ACCESS } from '../../../src/bpf-loader/filter/packet-access.js';
import {
  translateFilter,
  UntranslatableError,
} from '../../../src/bpf-loader/filter/translate-filter.js';
import {
  computeK,
  jump,
  jumpK,
  loadBeyondX,
  memoryToA,
  returnA,
  returnK,
  setA,
  storeX,
} from '../../support/classic-programs.js';

const translated = (...program: readonly ClassicInstruction[]): Buffer =>
  translateFilter(program, FRAME_ACCESS, {
    returned: (out) => {
      out.exit();
    },
  });

const code = (value: number, k = 0): ClassicInstruction => ({ code: value, jt: 0, jf: 0, k });

const REFUSED: readonly { name: string; program: readonly ClassicInstruction[]; says: RegExp }[] = [
  { name: 'a load of eight octets', program: [code(0x38), returnA], says: /0 \(code 0x38\)/ },
  { name: 'half a word of memory', program: [code(0x68), returnA], says: /0 \(code 0x68\)/ },
  { name: 'a load of no kind', program: [setA(1), code(0xc0), returnA], says: /1 \(code 0xc0\)/ },
  { name: 'X from the packet', program: [code(0x21), returnA], says: /0 \(code 0x21\)/ },
  { name: 'memory behind its end', program: [memoryToA(16), returnA], says: /0 \(code 0x60\)/ },
  { name: 'a store behind it', program: [storeX(16), returnA], says: /0 \(code 0x3\)/ },
  { name: 'arithmetic of no kind', program: [code(0xb4), returnA], says: /0 \(code 0xb4\)/ },
  { name: 'a division by 0', program: [computeK('div', 0), returnA], says: /0 \(code 0x34\)/ },
  { name: 'a rest by 0', program: [computeK('mod', 0), returnA], says: /0 \(code 0x94\)/ },
  { name: 'a jump of no kind', program: [code(0x55), returnA], says: /0 \(code 0x55\)/ },
  { name: 'a jump behind the end', program: [jump(1), returnA], says: /0 \(code 0x5\)/ },
  { name: 'a jump before the beginning', program: [jump(-2), returnA], says: /0 \(code 0x5\)/ },
  {
    name: 'a branch behind it',
    program: [jumpK('jeq', 1, 0, 9), returnA],
    says: /0 \(code 0x15\)/,
  },
  { name: 'a return of X', program: [code(0x0e)], says: /0 \(code 0xe\)/ },
  { name: 'a move of no kind', program: [code(0x47), returnA], says: /0 \(code 0x47\)/ },
];

t.test('what no filter has is refused, with its place', async (t) => {
  for (const { name, program, says } of REFUSED) {
    t.throws(() => translated(...program), UntranslatableError, name);
    t.throws(() => translated(...program), says, name);
  }
});

t.test('what is never reached is left out, whatever it is', async (t) => {
  const program = [jump(1), code(0xff), returnK(1)];
  t.same(translated(...program), translated(jump(0), returnK(1)));
});

t.test('a jump over more instructions than the kernel takes is refused', async (t) => {
  const long = Array.from({ length: 5000 }, () => loadBeyondX('word', 1));
  const program = [jumpK('jeq', 1, 0, 1), jump(long.length), ...long, returnA];
  t.throws(() => translated(...program), JumpTooFarError);
});
