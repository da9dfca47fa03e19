// Hostile filter expressions through libpcap, and hostile classic programs through the translation:
// instructions or an error, at once; and matching never reads beyond a frame.
import t from 'tap';
import type { ClassicInstruction } from '../../src/bpf-loader/filter/classic-bpf.js';
import {
  FilterError,
  openFilterCompiler,
  openLibpcap,
} from '../../src/bpf-loader/filter/compile-filter.js';
import { JumpTooFarError } from '../../src/bpf-loader/filter/ebpf-assembler.js';
import { FRAME_ACCESS } from '../../src/bpf-loader/filter/packet-access.js';
import {
  translateFilter,
  UntranslatableError,
} from '../../src/bpf-loader/filter/translate-filter.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { openNetworkNamespace } from '../../src/bpf-loader/network-namespace.js';
import { cpuTimeMs } from '../support/cpu-time.js';
import { createNamespacePair } from '../support/network-namespace.js';
import { missingRequirement } from '../support/requirements.js';
import { frameChanges, frameCorpus } from './frames.js';
import { fuzz } from './fuzz-rounds.js';
import { mutated } from './mutate.js';
import type { Random } from './random.js';

const skip = missingRequirement();
const EXPRESSIONS = 20;
const FRAMES = 20;
const PATIENCE_MS = 5000;
const LINK_TYPES = [1, 101, 113, 0, 276];
const WORDS = [
  ...[
    'tcp',
    'udp',
    'ip',
    'ip6',
    'arp',
    'icmp',
    'icmp6',
    'vlan',
    'vlan 7',
    'mpls',
    'pppoes',
    'geneve',
  ],
  ...['port 53', 'portrange 1-100', 'net 10.0.0.0/8', 'host 10.0.0.1', 'host ::1', 'ether host'],
  ...['src', 'dst', 'gateway', 'broadcast', 'multicast', 'len > 60', 'less 100', 'greater 5'],
  ...['proto 6', 'ip protochain 17', 'ip6 protochain 6', 'tcp[13] & 2 != 0', 'ip[0] & 0xf > 5'],
  ...[
    'ether[12:2] = 0x0800',
    'inbound',
    'ifname',
    '02:00:00:00:00:01',
    'llc',
    'iso',
    'link[0] = 1',
  ],
];
const JOINTS = [
  ' and ',
  ' or ',
  ' not ',
  ' && ',
  ' || ',
  ' ! ',
  ' ( ',
  ' ) ',
  ' ',
  '[',
  ']',
  ':',
  '/',
  '-',
  '%',
  '*',
  '<<',
  '=',
  '0',
  '65536',
  '4294967296',
];

function expressionOf(random: Random): string {
  const words = Array.from({ length: random.between(1, 8) }, () =>
    random.pick(random.oneIn(3) ? JOINTS : WORDS),
  );
  const text = words.join(random.oneIn(3) ? ' ' : random.pick([' and ', ' or ', ' and not ']));
  return random.oneIn(30) ? text.repeat(random.between(2, 20)) : text;
}

function programOf(random: Random): ClassicInstruction[] {
  return Array.from({ length: random.between(1, 30) }, () => ({
    code: random.oneIn(4)
      ? random.below(65_536)
      : random.pick([
          0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xb1, 0x00, 0x60, 0x02, 0x04, 0x14, 0x54, 0x15, 0x25,
          0x45, 0x05, 0x06, 0x16, 0x07, 0x87,
        ]),
    jt: random.oneIn(8) ? random.below(256) : random.below(4),
    jf: random.oneIn(8) ? random.below(256) : random.below(4),
    k: random.oneIn(4) ? random.word() : random.below(64),
  }));
}

function translate(random: Random): void {
  const program = programOf(random);
  try {
    translateFilter(program, FRAME_ACCESS, {
      returned: (out) => {
        out.exit();
      },
    });
  } catch (error) {
    if (error instanceof UntranslatableError || error instanceof JumpTooFarError) return;
    throw new Error(JSON.stringify(program), { cause: error });
  }
}

t.test('any expression is a filter or an error', { skip }, async (t) => {
  const libpcap = openLibpcap();
  const changes = frameChanges(frameCorpus());
  // Where no name server is: libpcap asks for what looks like a host's name.
  const namespace = openNetworkNamespace(createNamespacePair(t).a.path, loadLibc());
  t.teardown(() => namespace.close());
  const match = (random: Random): void => {
    const expression = expressionOf(random);
    const begin = cpuTimeMs();
    try {
      const linkType = random.pick(LINK_TYPES);
      const compile = (): Buffer =>
        openFilterCompiler(expression, libpcap).compile({ linkType, netmask: 0 });
      const matches = libpcap.interpreter(namespace.run(compile));
      for (let i = 0; i < FRAMES; i++) {
        const frame = mutated(random, changes);
        matches(frame, 0, frame.length + random.below(100), random.between(0, frame.length));
      }
    } catch (error) {
      if (!(error instanceof FilterError)) throw new Error(expression, { cause: error });
    }
    const elapsedMs = cpuTimeMs() - begin;
    if (elapsedMs > PATIENCE_MS) throw new Error(`${elapsedMs} ms for ${expression}`);
  };
  await fuzz(t, 'filters', {
    share: 0.04,
    cases: 'expressions and programs',
    round: (random) => {
      for (let i = 0; i < EXPRESSIONS; i++) {
        match(random);
        translate(random);
      }
      return 2 * EXPRESSIONS;
    },
  });
});
