// The stack of each program, functions that it calls included, as the kernels count that allow least
// (check_max_stack_depth of 6.1: each frame is rounded up to 32 octets; later ones round to 16).
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { PROJECT_ROOT } from '../support/requirements.js';

const MAX_STACK_OCTETS = 512; // MAX_BPF_STACK
const FRAME_ROUNDED_TO = 32;
const OBJECT = `${PROJECT_ROOT}/build/bpf/procflow.bpf.o`;

interface Frame {
  octets: number;
  readonly calls: Set<string>;
}

const FUNCTION = /^[0-9a-f]+ <([^>]+)>:$/;
/** *(u64 *)(r10 - 24), or the pair r1 = r10; r1 += -24 */
const ON_STACK = /\(r10 - (0x[0-9a-f]+|\d+)\)/;
const COPIED = /\b(r\d) = r10$/;
const MOVED = /\b(r\d) \+= -(\d+)$/;
const CALLED = /R_BPF_64_32\s+(\S+)/;

function readFrames(disassembly: string): ReadonlyMap<string, Frame> {
  const frames = new Map<string, Frame>();
  let frame: Frame = { octets: 0, calls: new Set() };
  let pointer = '';
  for (const line of disassembly.split('\n')) {
    const [, name] = FUNCTION.exec(line) ?? [];
    if (name !== undefined && !name.startsWith('LBB')) {
      frame = { octets: 0, calls: new Set() };
      frames.set(name, frame);
    }
    const [, moved, by] = MOVED.exec(line) ?? [];
    const onStack = ON_STACK.exec(line)?.[1] ?? (moved === pointer ? by : undefined);
    frame.octets = Math.max(frame.octets, Number(onStack ?? 0));
    pointer = COPIED.exec(line)?.[1] ?? '';
    const [, called] = CALLED.exec(line) ?? [];
    if (called !== undefined) frame.calls.add(called);
  }
  return frames;
}

/** The deepest chain of calls, and the octets of all its frames. */
function deepest(
  frames: ReadonlyMap<string, Frame>,
  name: string,
): { readonly octets: number; readonly chain: readonly string[] } {
  const frame = frames.get(name);
  if (frame === undefined) return { octets: 0, chain: [] };
  const own = Math.ceil(Math.max(frame.octets, 1) / FRAME_ROUNDED_TO) * FRAME_ROUNDED_TO;
  const below = [...frame.calls].map((called) => deepest(frames, called));
  const most = below.sort((a, b) => b.octets - a.octets)[0] ?? { octets: 0, chain: [] };
  return {
    octets: own + most.octets,
    chain: [`${name} (${frame.octets})`, ...most.chain],
  };
}

t.test('each program has stack enough on the oldest kernels', async (t) => {
  const text = execFileSync('llvm-objdump', ['-dr', '--no-show-raw-insn', OBJECT], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const frames = readFrames(text);
  t.ok(frames.size > 20, `${frames.size} functions`);
  const used = [...frames.keys()].map((name) => deepest(frames, name));
  for (const { octets, chain } of used.filter(({ octets }) => octets > MAX_STACK_OCTETS)) {
    t.fail(`${octets} octets: ${chain.join(', ')}`);
  }
  const most = Math.max(...used.map(({ octets }) => octets));
  t.ok(most > 300 && most <= MAX_STACK_OCTETS, `at most ${most} octets are used`);
});
