// Programs of classic BPF that nobody thought of, on frames that nobody made: the kernel decides as
// libpcap does.
import fc from 'fast-check';
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
import { cannotLoadPrograms } from '../support/packet-lab.js';

const skip = cannotLoadPrograms();
const RUNS = 400;
const FRAMES = 8;
const MAX_INSTRUCTIONS = 40;
const MAX_FRAME_OCTETS = 120;
const TAGGED_OCTETS = 18;
const MEMORY_WORDS = 16;

const number = fc.oneof(
  fc.nat(64),
  fc.constantFrom(0xff, 0xffff, 0x0800, 0x8100, 0x7fffffff, 0x80000000, 0xffffffff),
  fc.nat(0xffffffff),
);
const offset = fc.oneof(
  { weight: 20, arbitrary: fc.nat(MAX_FRAME_OCTETS) },
  { weight: 10, arbitrary: fc.integer({ min: 8, max: 20 }) },
  { weight: 1, arbitrary: number },
);
const size = fc.constantFrom('word', 'half', 'octet');
const word = fc.nat(MEMORY_WORDS - 1);
const branch = fc.nat(MAX_INSTRUCTIONS);
const condition = fc.constantFrom('jeq', 'jgt', 'jge', 'jset');

/** Of an instruction, by how many there are behind it. */
type Placed = (behind: number) => ClassicInstruction;
const anywhere = (instruction: ClassicInstruction): Placed => {
  return () => instruction;
};

const instruction: fc.Arbitrary<Placed> = fc.oneof(
  fc.tuple(size, offset).map(([octets, k]) => anywhere(load(octets, k))),
  fc.tuple(size, offset).map(([octets, k]) => anywhere(loadBeyondX(octets, k))),
  fc.oneof(offset, number).map((k) => anywhere(setA(k))),
  fc.oneof(offset, number).map((k) => anywhere(setX(k))),
  offset.map((k) => anywhere(headerLengthToX(k))),
  fc.constantFrom(lengthToA, lengthToX, negate, aToX, xToA).map(anywhere),
  word.map((k) => anywhere(memoryToA(k))),
  word.map((k) => anywhere(memoryToX(k))),
  word.map((k) => anywhere(storeA(k))),
  word.map((k) => anywhere(storeX(k))),
  fc
    .tuple(fc.constantFrom('add', 'sub', 'mul', 'or', 'and', 'xor'), number)
    .map(([operation, k]) => anywhere(computeK(operation, k))),
  fc
    .tuple(fc.constantFrom('div', 'mod'), number)
    .map(([operation, k]) => anywhere(computeK(operation, k === 0 ? 1 : k))),
  // By 32 and more libpcap leaves it to the C compiler.
  fc
    .tuple(fc.constantFrom('lsh', 'rsh'), fc.nat(31))
    .map(([operation, k]) => anywhere(computeK(operation, k))),
  fc
    .constantFrom('add', 'sub', 'mul', 'div', 'mod', 'or', 'and', 'xor', 'lsh', 'rsh')
    .map((operation) => anywhere(computeX(operation))),
  branch.map((distance) => (behind: number) => jump(distance % (behind + 1))),
  fc.tuple(condition, number, branch, branch).map(
    ([test, k, jt, jf]): Placed =>
      (behind) =>
        jumpK(test, k, jt % (behind + 1), jf % (behind + 1)),
  ),
  fc.tuple(condition, branch, branch).map(
    ([test, jt, jf]): Placed =>
      (behind) =>
        jumpX(test, jt % (behind + 1), jf % (behind + 1)),
  ),
);

/** libpcap does not say what its memory begins with. */
const MEMORY_OF_ZEROS = Array.from({ length: MEMORY_WORDS }, (_, k) => storeA(k));

const program = fc
  .tuple(
    fc.array(instruction, { minLength: 1, maxLength: MAX_INSTRUCTIONS }),
    fc.oneof(fc.constant(returnA), number.map(returnK)),
  )
  .map(([placed, last]) => [
    ...MEMORY_OF_ZEROS,
    ...placed.map((place, i) => place(placed.length - 1 - i)),
    last,
  ]);

const octets = fc.uint8Array({ minLength: TAGGED_OCTETS, maxLength: MAX_FRAME_OCTETS });
const tagged = octets.map((bytes) => {
  const frame = Buffer.from(bytes);
  frame.writeUInt16BE(0x8100, 12);
  return frame;
});

t.test('the kernel decides as libpcap, whatever the program and the frame', { skip }, async (t) => {
  const libpcap = openLibpcap();
  const lab = new FilterLab();
  t.teardown(() => {
    lab.close();
  });
  let wanted = 0;
  let notWanted = 0;
  const frames = fc.array(tagged, { minLength: FRAMES, maxLength: FRAMES });
  const agrees = fc.property(program, frames, (instructions, some) => {
    const interpret = libpcap.interpreter(classicBytes(instructions));
    const onFrame = lab.translate(instructions, FILTER_HOOKS.flow_egress);
    const onPacket = lab.translate(instructions, FILTER_HOOKS.flow_egress_ip);
    try {
      for (const frame of some) {
        const expected = interpret(frame, 0, frame.length, frame.length);
        const found = [
          lab.run(onFrame, frame),
          lab.run(onPacket, frame),
          lab.runUntagged(onFrame, frame),
        ];
        if (expected === 0) notWanted++;
        else wanted++;
        if (found.some((value) => value !== expected)) {
          throw new Error(`libpcap ${expected}, kernel ${found.join(' ')}`);
        }
      }
    } finally {
      lab.close();
    }
  });
  fc.assert(agrees, { numRuns: RUNS });
  t.ok(wanted > RUNS, `${wanted} were wanted`);
  t.ok(notWanted > RUNS, `${notWanted} were not`);
});
