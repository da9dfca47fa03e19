// A process of one CPU, which runs test runs of the programs that it was handed as descriptors: what it
// shall run comes as a line of JSON, and how long each took goes back as one.
import { createInterface } from 'node:readline';
import { openLibbpf } from '../../src/bpf-loader/bpf-object.js';
import { testRunArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import { ethernet, ipv4, udp } from '../../test/support/packet-bytes.js';
import type { RunOrder, TimedRun } from './pinned-core.js';
import { SKB } from './shifting-program.js';

const VETH = 2; // the first interface of a namespace after lo
const UDP = 17;

const libbpf = openLibbpf();
const packet = ethernet('ipv4', ipv4({ protocol: UDP }, udp(18, [1000, 53])));

function timeRuns({ programFd, mask, base, packets, runs }: RunOrder): TimedRun[] {
  const context = Buffer.alloc(SKB.octets);
  context.writeUInt32LE(VETH, SKB.ifindex);
  context.writeUInt32LE(mask >>> 0, SKB.mask);
  context.writeUInt32LE(base, SKB.base);
  return Array.from({ length: runs }, (_, run) => {
    context.writeUInt32LE(run * packets, SKB.counter);
    const argument = testRunArgument({ packet, context, repeat: packets });
    const beganMs = performance.timeOrigin + performance.now();
    const result = libbpf.testRun(programFd, argument);
    const endedMs = performance.timeOrigin + performance.now();
    if (result < 0) throw new Error(`BPF_PROG_TEST_RUN: errno ${-result}`);
    return { beganMs, endedMs, ns: argument.duration, packets };
  });
}

process.stdout.write('ready\n');
for await (const line of createInterface(process.stdin)) {
  const timed = timeRuns(JSON.parse(line) as RunOrder);
  process.stdout.write(`${JSON.stringify(timed)}\n`);
}
