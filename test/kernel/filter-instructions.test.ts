// Each instruction of classic BPF, translated and run in the real kernel: on a frame, on a packet
// without link layer, and on a frame whose VLAN tag is not in it.
import t from 'tap';
import type { ClassicInstruction } from '../../src/bpf-loader/filter/classic-bpf.js';
import { openLibpcap } from '../../src/bpf-loader/filter/compile-filter.js';
import { FILTER_HOOKS } from '../../src/bpf-loader/filter/filter-program.js';
import {
  aToX,
  classicBytes,
  computeK,
  computeX,
  headerLengthToX,
  jump,
  jumpK,
  jumpX,
  lengthToA,
  lengthToX,
  load,
  loadBeyondX,
  memoryToA,
  memoryToX,
  negate,
  returnA,
  returnK,
  setA,
  setX,
  storeA,
  storeX,
  xToA,
} from '../support/classic-programs.js';
import { FilterLab } from '../support/filter-lab.js';
import { hex } from '../support/packet-bytes.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';

const skip = cannotLoadPrograms();

/** Each octet says where it is, but for the tag (VLAN 5, priority 1) and the EtherType behind it. */
const FRAME = hex(
  `000102030405 060708090a0b 81002005 0800 12131415161718191a1b1c1d1e1f
   202122232425262728292a2b2c2d2e2f 303132333435363738393a3b3c3d3e3f`,
);

interface Row {
  readonly name: string;
  /** What is in A at the end is returned, where it does not return before. */
  readonly program: readonly ClassicInstruction[];
  readonly returns: number;
  /** libpcap leaves it to the C compiler, or does more than the kernel lets a program do. */
  readonly isNotLibpcap?: boolean;
}

const LOADS: readonly Row[] = [
  { name: 'a word', program: [load('word', 0)], returns: 0x00010203 },
  { name: 'half a word', program: [load('half', 2)], returns: 0x0203 },
  { name: 'an octet', program: [load('octet', 5)], returns: 5 },
  { name: 'a word up to the tag', program: [load('word', 8)], returns: 0x08090a0b },
  { name: 'a word into the tag', program: [load('word', 9)], returns: 0x090a0b81 },
  { name: 'a word half in the tag', program: [load('word', 10)], returns: 0x0a0b8100 },
  { name: 'a word with most of the tag', program: [load('word', 11)], returns: 0x0b810020 },
  { name: 'the tag', program: [load('word', 12)], returns: 0x81002005 },
  { name: 'the tag and one octet', program: [load('word', 13)], returns: 0x00200508 },
  { name: 'the tag and two octets', program: [load('word', 14)], returns: 0x20050800 },
  { name: 'an octet of the tag and more', program: [load('word', 15)], returns: 0x05080012 },
  { name: 'the first word behind the tag', program: [load('word', 16)], returns: 0x08001213 },
  { name: 'half a word into the tag', program: [load('half', 11)], returns: 0x0b81 },
  { name: "the tag's protocol", program: [load('half', 12)], returns: 0x8100 },
  { name: 'half a word in the tag', program: [load('half', 13)], returns: 0x0020 },
  { name: "the tag's number", program: [load('half', 14)], returns: 0x2005 },
  { name: 'half a word out of the tag', program: [load('half', 15)], returns: 0x0508 },
  { name: 'an octet of the tag', program: [load('octet', 12)], returns: 0x81 },
  { name: 'the last octet of the tag', program: [load('octet', 15)], returns: 5 },
  { name: 'the last word', program: [load('word', 60)], returns: 0x3c3d3e3f },
  { name: 'the last half word', program: [load('half', 62)], returns: 0x3e3f },
  { name: 'the last octet', program: [load('octet', 63)], returns: 0x3f },
];

/** What is not in the packet: not wanted, whatever would have come. */
const BEYOND: readonly Row[] = [
  ['a word that is cut', load('word', 61)],
  ['half a word that is cut', load('half', 63)],
  ['an octet behind the packet', load('octet', 64)],
  ['a word at the largest signed offset', load('word', 0x7fffffff)],
  ['a word at the smallest signed offset', load('word', 0x80000000)],
  ['an octet where Linux keeps what is not in packets', load('octet', 0xfffff000)],
  ['an octet at a negative offset', load('octet', 0xffffffff)],
  ['a header length behind the packet', headerLengthToX(64)],
  ['a header length at a negative offset', headerLengthToX(0xffffffff)],
].map(([name, instruction]) => ({
  name: name as string,
  program: [instruction as ClassicInstruction, returnK(1)],
  returns: 0,
}));

const beyond = (x: number, size: 'word' | 'half' | 'octet', k: number) => [
  setX(x),
  loadBeyondX(size, k),
];

const INDIRECT: readonly Row[] = [
  { name: 'a word at X', program: beyond(20, 'word', 0), returns: 0x14151617 },
  { name: 'half a word beyond X', program: beyond(20, 'half', 3), returns: 0x1718 },
  { name: 'an octet beyond X', program: beyond(1, 'octet', 62), returns: 0x3f },
  { name: 'a word beyond X into the tag', program: beyond(4, 'word', 5), returns: 0x090a0b81 },
  { name: 'the tag at X', program: beyond(12, 'word', 0), returns: 0x81002005 },
  { name: 'a word beyond X out of the tag', program: beyond(1, 'word', 14), returns: 0x05080012 },
  { name: 'half a word beyond X in the tag', program: beyond(6, 'half', 7), returns: 0x0020 },
  { name: 'an octet beyond X in the tag', program: beyond(7, 'octet', 8), returns: 5 },
  { name: 'a word beyond X behind the tag', program: beyond(7, 'word', 9), returns: 0x08001213 },
  { name: 'the first octet, by X = 0', program: beyond(0, 'octet', 0), returns: 0 },
  { name: 'the last word, by X', program: beyond(60, 'word', 0), returns: 0x3c3d3e3f },
];

const INDIRECT_BEYOND: readonly Row[] = (
  [
    ['a word beyond X that is cut', 60, 'word', 1],
    ['a word at an X that is cut', 61, 'word', 0],
    ['half a word beyond X that is cut', 0, 'half', 63],
    ['an octet at an X behind the packet', 64, 'octet', 0],
    ['an octet where X and k pass over 32 bits', 0xffffffff, 'octet', 1],
    ['an octet where both are halves of 32 bits', 0x80000000, 'octet', 0x80000000],
    ['an octet at the largest X', 0xffffffff, 'octet', 0],
    ['an octet at a negative k that X makes good', 4, 'octet', 0xffffffff],
    ['an octet at the first offset that is negative', 0x7fffffff, 'octet', 1],
    ['an octet at the largest of both', 0xffffffff, 'octet', 0xffffffff],
  ] as const
).map(([name, x, size, k]) => ({ name, program: [...beyond(x, size, k), returnK(1)], returns: 0 }));

const REGISTERS: readonly Row[] = [
  { name: 'A and X begin as 0', program: [computeX('or')], returns: 0 },
  { name: 'a number into A', program: [setA(0xfedcba98)], returns: 0xfedcba98 },
  { name: 'a number into X', program: [setX(0xfedcba98), xToA], returns: 0xfedcba98 },
  { name: 'A into X', program: [setA(7), aToX, setA(1), xToA], returns: 7 },
  { name: 'the length into A', program: [lengthToA], returns: 64 },
  { name: 'the length into X', program: [lengthToX, xToA], returns: 64 },
  { name: 'a header length', program: [headerLengthToX(18), xToA], returns: 8 },
  { name: 'the longest header length', program: [headerLengthToX(63), xToA], returns: 60 },
  { name: 'a header length in the tag', program: [headerLengthToX(15), xToA], returns: 20 },
  { name: 'a header length leaves A', program: [setA(3), headerLengthToX(18)], returns: 3 },
  { name: 'a load leaves X', program: [setX(9), load('word', 0), xToA], returns: 9 },
  { name: 'a load in the tag leaves X', program: [setX(9), load('word', 11), xToA], returns: 9 },
  {
    name: 'the first word of memory',
    program: [setA(5), storeA(0), setA(1), memoryToA(0)],
    returns: 5,
  },
  { name: 'the last word of memory', program: [setX(6), storeX(15), memoryToA(15)], returns: 6 },
  { name: 'memory into X', program: [setA(7), storeA(3), memoryToX(3), xToA], returns: 7 },
  {
    name: 'words of memory are apart',
    program: [setA(0xffffffff), storeA(4), storeA(6), setA(1), storeA(5), memoryToA(4)],
    returns: 0xffffffff,
  },
  {
    name: 'loads leave the memory',
    program: [setA(8), storeA(0), load('word', 12), loadBeyondX('word', 11), memoryToA(0)],
    returns: 8,
  },
];

const withX = (a: number, operation: Parameters<typeof computeX>[0], x: number) => [
  setA(a),
  setX(x),
  computeX(operation),
];
const withK = (a: number, operation: Parameters<typeof computeX>[0], k: number) => [
  setA(a),
  computeK(operation, k),
];

/** [A, operation, operand, result]; each by a number and by X. */
const ARITHMETIC: readonly Row[] = (
  [
    [5, 'add', 7, 12],
    [0xffffffff, 'add', 2, 1],
    [5, 'sub', 3, 2],
    [1, 'sub', 2, 0xffffffff],
    [6, 'mul', 7, 42],
    [0x10001, 'mul', 0x10000, 0x10000],
    [0xffffffff, 'mul', 0xffffffff, 1],
    [7, 'div', 2, 3],
    [0xfffffffe, 'div', 2, 0x7fffffff],
    [7, 'div', 0xffffffff, 0],
    [7, 'mod', 4, 3],
    [0xffffffff, 'mod', 10, 5],
    [0x80000000, 'mod', 0xffffffff, 0x80000000],
    [0xf0, 'or', 0x0f, 0xff],
    [0, 'or', 0x80000000, 0x80000000],
    [0xff, 'and', 0x3c, 0x3c],
    [0xffffffff, 'and', 0xf0000000, 0xf0000000],
    [0xff, 'xor', 0x0f, 0xf0],
    [0xffffffff, 'xor', 0xffffffff, 0],
    [1, 'lsh', 31, 0x80000000],
    [3, 'lsh', 31, 0x80000000],
    [5, 'lsh', 0, 5],
    [0x80000000, 'rsh', 31, 1],
    [0xffffffff, 'rsh', 4, 0x0fffffff],
    [5, 'rsh', 0, 5],
  ] as const
).flatMap(([a, operation, operand, returns]) => {
  const name = `${a} ${operation} ${operand}`;
  return [
    { name: `${name}, a number`, program: withK(a, operation, operand), returns },
    { name: `${name}, X`, program: withX(a, operation, operand), returns },
  ];
});

const ODD_ARITHMETIC: readonly Row[] = [
  { name: 'negative', program: [setA(1), negate], returns: 0xffffffff },
  { name: 'negative of 0', program: [setA(0), negate], returns: 0 },
  { name: 'negative of the smallest', program: [setA(0x80000000), negate], returns: 0x80000000 },
  { name: 'left by 32, X', program: withX(1, 'lsh', 32), returns: 0 },
  { name: 'left by very much, X', program: withX(1, 'lsh', 0xffffffff), returns: 0 },
  { name: 'right by 32, X', program: withX(0xffffffff, 'rsh', 32), returns: 0 },
  { name: 'right by 33, X', program: withX(0xffffffff, 'rsh', 33), returns: 0 },
  { name: 'left by 32', program: withK(1, 'lsh', 32), returns: 0, isNotLibpcap: true },
  { name: 'right by 40', program: withK(9, 'rsh', 40), returns: 0, isNotLibpcap: true },
  { name: 'divided by X = 0', program: [...withX(8, 'div', 0), returnK(1)], returns: 0 },
  { name: 'the rest by X = 0', program: [...withX(8, 'mod', 0), returnK(1)], returns: 0 },
];

const YES = 11;
const NO = 22;

/** Each with both branches away, one of them, or none. */
function branches(
  name: string,
  before: readonly ClassicInstruction[],
  condition: (jt: number, jf: number) => ClassicInstruction,
  isTrue: boolean,
): readonly Row[] {
  const returns = isTrue ? YES : NO;
  const neither = [...before, condition(0, 0), returnK(YES)];
  const both = [...before, condition(2, 1), returnK(1), returnK(NO), returnK(YES)];
  return [
    {
      name: `${name}, jumps if not`,
      program: [...before, condition(0, 1), returnK(YES), returnK(NO)],
      returns,
    },
    {
      name: `${name}, jumps if so`,
      program: [...before, condition(1, 0), returnK(NO), returnK(YES)],
      returns,
    },
    { name: `${name}, jumps either way`, program: both, returns },
    { name: `${name}, goes on either way`, program: neither, returns: YES },
  ];
}

/** [condition, A, operand, whether it holds]; each with a number and with X. */
const CONDITIONS: readonly Row[] = (
  [
    ['jeq', 5, 5, true],
    ['jeq', 5, 6, false],
    ['jeq', 0xffffffff, 0xffffffff, true],
    ['jgt', 6, 5, true],
    ['jgt', 5, 5, false],
    ['jgt', 0xffffffff, 1, true],
    ['jgt', 1, 0x80000000, false],
    ['jge', 5, 5, true],
    ['jge', 4, 5, false],
    ['jge', 0x80000000, 0x7fffffff, true],
    ['jset', 6, 2, true],
    ['jset', 4, 3, false],
    ['jset', 0x80000000, 0x80000000, true],
    ['jset', 5, 0, false],
  ] as const
).flatMap(([condition, a, operand, isTrue]) => {
  const name = `${condition} ${a} ${operand}`;
  const byNumber = (jt: number, jf: number) => jumpK(condition, operand, jt, jf);
  const byX = (jt: number, jf: number) => jumpX(condition, jt, jf);
  return [
    ...branches(`${name}, a number`, [setA(a)], byNumber, isTrue),
    ...branches(`${name}, X`, [setA(a), setX(operand)], byX, isTrue),
  ];
});

/** Counts in X to `times`, once round a turn. */
const loop = (times: number) => [
  xToA, // 0
  computeK('add', 1),
  aToX,
  jumpK('jeq', times, 1, 0),
  jump(-5), // to 0
  returnK(7),
];

const FLOW: readonly Row[] = [
  { name: 'a jump', program: [setA(1), jump(1), setA(2), returnA], returns: 1 },
  { name: 'a jump of 0', program: [setA(1), jump(0), setA(2), returnA], returns: 2 },
  { name: 'a number is returned', program: [returnK(0x40000)], returns: 0x40000 },
  { name: 'the largest number is returned', program: [returnK(0xffffffff)], returns: 0xffffffff },
  { name: 'nothing is returned', program: [returnK(0)], returns: 0 },
  { name: 'A is returned', program: [setA(0xdeadbeef), returnA], returns: 0xdeadbeef },
  { name: 'a loop, as protochain has', program: loop(200), returns: 7 },
  { name: 'a longer loop', program: loop(202), returns: 0, isNotLibpcap: true },
];

const ROWS = {
  LOADS,
  BEYOND,
  INDIRECT,
  INDIRECT_BEYOND,
  REGISTERS,
  ARITHMETIC,
  ODD_ARITHMETIC,
  CONDITIONS,
  FLOW,
};

for (const [group, rows] of Object.entries(ROWS)) {
  t.test(`the kernel does what classic BPF says: ${group.toLowerCase()}`, { skip }, async (t) => {
    const lab = new FilterLab();
    t.teardown(() => {
      lab.close();
    });
    const libpcap = openLibpcap();
    for (const { name, program, returns, isNotLibpcap } of rows) {
      const whole = program.at(-1)?.code === returnK(0).code ? program : [...program, returnA];
      const onFrame = lab.translate(whole, FILTER_HOOKS.flow_ingress);
      const onPacket = lab.translate(whole, FILTER_HOOKS.flow_ingress_ip);
      t.equal(lab.run(onFrame, FRAME), returns, `${name}: frame`);
      t.equal(lab.run(onPacket, FRAME), returns, `${name}: without link layer`);
      t.equal(lab.runUntagged(onFrame, FRAME), returns, `${name}: with the tag beside the frame`);
      if (isNotLibpcap === true) continue;
      const interpret = libpcap.interpreter(classicBytes(whole));
      t.equal(interpret(FRAME, 0, FRAME.length, FRAME.length), returns, `${name}: libpcap`);
    }
  });
}
