// Without sampling a packet pays nothing for it: the verifier has removed the call.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import type { Sampling } from '../../src/flow/sampling.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';

const skip = cannotLoadPrograms();

/** The instructions as the kernel runs them, one line each, of the program without its functions. */
function instructions(t: { teardown: (release: () => void) => void }, sampling: Sampling) {
  const maxEntries = { flows_v4: 16, flows_v6: 16 };
  const object = BpfObject.load({ maxEntries, sampling });
  t.teardown(() => {
    object.close();
  });
  const info = readFileSync(`/proc/self/fdinfo/${object.programFd('frame_long_way')}`, 'utf8');
  const id = /prog_id:\s*(\d+)/.exec(info)?.[1] ?? '';
  const dump = execFileSync('bpftool', ['prog', 'dump', 'xlated', 'id', id], { encoding: 'utf8' });
  // "int frame_long_way(struct __sk_buff * skb):", its instructions, then the functions it calls.
  const [, ...own] = dump.split(/^\w.*\):\n/m);
  return (own[0] ?? '').split('\n').filter((line) => /^\s*\d+: /.test(line));
}

const calls = (lines: readonly string[]): number =>
  lines.filter((line) => line.includes('call pc+')).length;

t.test('without sampling the call is gone', { skip }, async (t) => {
  const without = instructions(t, { kind: 'none' });
  const sampled = instructions(t, { kind: 'count', interval: 2 });
  t.ok(calls(without) > 0);
  t.equal(calls(sampled), calls(without) + 1, 'sample_packet');
  t.ok(without.length < sampled.length);
});
