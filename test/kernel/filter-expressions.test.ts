// Filter expressions on every frame of every capture: what the kernel lets through to the meter, and
// what the filter for capture files matches, is what `tcpdump -r` matches. Where the tag is beside the
// frame, only an expression with `vlan` sees it, as in live tcpdump.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openCaptureFilter } from '../../src/bpf-loader/filter/capture-filter.js';
import { FilterError } from '../../src/bpf-loader/filter/compile-filter.js';
import type { MeterProgram } from '../../src/bpf-loader/filter/filter-program.js';
import {
  eachWithMatches,
  ETHERNET,
  LINUX_COOKED,
  RAW_IP,
  readCaptures,
  tcpdumpMatches,
  writeCapture,
  type Frame,
} from '../support/capture-frames.js';
import { EXPRESSIONS } from '../support/filter-expressions.js';
import { FilterLab } from '../support/filter-lab.js';
import { ODD_FRAMES } from '../support/odd-frames.js';
import { ethernet, ipv4, udp } from '../support/packet-bytes.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();

const ETHERNET_OCTETS = 14;
const COOKED_OCTETS = 16;
const TAG_OCTETS = 4;
/** Of a test run: the kernel takes no more, and no frame without the header that its EtherType says. */
const MOST_OCTETS = 3600;
const LEAST_OCTETS = new Map([
  [0x0800, ETHERNET_OCTETS + 20],
  [0x86dd, ETHERNET_OCTETS + 40],
]);
const ONE_STUMP_IN = 4;
const TAG_PROTOCOLS = new Set([0x8100, 0x88a8]);

const whole = (bytes: Buffer): Frame => ({ bytes, wireOctets: bytes.length });

/** A packet in the kernel is all there: what a capture did not keep is made of zeros. */
function completed({ bytes, wireOctets }: Frame): Frame {
  const all = Buffer.concat([bytes, Buffer.alloc(wireOctets - bytes.length)]);
  return whole(all.subarray(0, MOST_OCTETS));
}

/** Some of them a second time, ended anywhere: what is not there must not match. */
function withStumps(frames: readonly Frame[]): readonly Frame[] {
  const stumps = frames
    .filter((_, i) => i % ONE_STUMP_IN === 0)
    .map(({ bytes }, i) => {
      const least = LEAST_OCTETS.get(bytes.readUInt16BE(ETHERNET_OCTETS - 2)) ?? ETHERNET_OCTETS;
      return whole(bytes.subarray(0, least + ((i * 7) % 60)));
    });
  return [...frames, ...stumps];
}

const ETHERTYPES = new Set([0x0800, 0x86dd]);

/** The IP packets, without what is before them. */
function packetsOf(captures: ReadonlyMap<number, readonly Frame[]>): readonly Frame[] {
  const within = (linkType: number, octets: number): Frame[] =>
    (captures.get(linkType) ?? [])
      .filter(({ bytes }) => ETHERTYPES.has(bytes.readUInt16BE(octets - 2)))
      .map(({ bytes, wireOctets }) => ({
        bytes: bytes.subarray(octets),
        wireOctets: wireOctets - octets,
      }));
  return [...within(ETHERNET, ETHERNET_OCTETS), ...within(LINUX_COOKED, COOKED_OCTETS)];
}

interface Kind {
  readonly linkType: number;
  readonly frames: readonly Frame[];
  readonly programs: readonly (readonly [MeterProgram, KernelRuns])[];
  /** So many expressions, at least, match some of the frames and not all. */
  readonly telling: number;
}

/** What the kernel runs. */
interface KernelRuns {
  readonly prepared: (frame: Buffer) => Buffer;
  /** Of so many frames: all where it is 1. */
  readonly oneIn: number;
}

const ALL: KernelRuns = { prepared: (frame) => frame, oneIn: 1 };
/** All of them are within the frames. */
const SOME: KernelRuns = { ...ALL, oneIn: 3 };
/**
 * The kernel's test run takes these octets away again before it calls a program of sockets. Its
 * instructions are those that other packets without link layer have.
 */
const BEHIND_ETHERNET: KernelRuns = {
  prepared: (packet) => Buffer.concat([Buffer.alloc(ETHERNET_OCTETS), packet]),
  oneIn: 8,
};

function kinds(): Readonly<Record<string, Kind>> {
  const captures = readCaptures();
  const odd = ODD_FRAMES.map(whole);
  const all = new Map([...captures, [ETHERNET, [...(captures.get(ETHERNET) ?? []), ...odd]]]);
  const ethernet = all.get(ETHERNET) ?? [];
  return {
    'Ethernet frames': {
      linkType: ETHERNET,
      frames: withStumps(ethernet.map(completed)),
      programs: [['flow_ingress', ALL]],
      telling: 150,
    },
    'IP packets': {
      linkType: RAW_IP,
      frames: withStumps(packetsOf(all).map(completed)),
      programs: [
        ['flow_egress_ip', SOME],
        ['socket_ingress', BEHIND_ETHERNET],
      ],
      telling: 100,
    },
    // The kernel has no such frames: a filter before the meter sees the packets in them, see above.
    'cooked frames': {
      linkType: LINUX_COOKED,
      frames: all.get(LINUX_COOKED) ?? [],
      programs: [],
      telling: 10,
    },
    'frames that were cut': {
      linkType: ETHERNET,
      frames: ethernet.filter(({ bytes, wireOctets }) => bytes.length < wireOctets),
      programs: [],
      telling: 5,
    },
  };
}

interface ExpectedKind extends Kind {
  /** Which of the frames match. */
  readonly expected: ReadonlySet<number>;
  /** Which match where the kernel has taken the tag out. */
  readonly expectedBeside: ReadonlySet<number>;
}

/** Where what was found is not what tcpdump says; undefined: was not asked. */
function differences(
  frames: readonly Frame[],
  expected: ReadonlySet<number>,
  isMatch: (frame: Frame, i: number) => boolean | undefined,
): readonly number[] {
  return frames.flatMap((frame, i) => {
    const found = isMatch(frame, i);
    return found === undefined || found === expected.has(i) ? [] : [i];
  });
}

function testInKernel(t: Test, lab: FilterLab, expression: string, kind: ExpectedKind): void {
  const { linkType, frames, expected, expectedBeside, programs } = kind;
  for (const [meter, { prepared, oneIn }] of programs) {
    const fd = lab.filter(expression, meter);
    const inKernel = differences(frames, expected, ({ bytes }, i) =>
      i % oneIn === 0 ? lab.isMetered(lab.run(fd, prepared(bytes)), meter) : undefined,
    );
    t.same(inKernel, [], `${expression}: before ${meter}`);
    if (linkType !== ETHERNET) continue;
    const beside = differences(frames, expectedBeside, ({ bytes }) =>
      canLoseTag(bytes) ? lab.isMetered(lab.runUntagged(fd, bytes), meter) : undefined,
    );
    t.same(beside, [], `${expression}: the tag beside the frame`);
  }
  lab.close();
}

function testInFiles(
  t: Test,
  expression: string,
  kind: Omit<ExpectedKind, 'expectedBeside'>,
): void {
  const filter = openCaptureFilter(expression, kind.linkType);
  const found = differences(kind.frames, kind.expected, ({ bytes, wireOctets }) =>
    filter.matches(bytes, 0, bytes.length, wireOctets),
  );
  filter.close();
  t.same(found, [], `${expression}: in files`);
}

t.test('a filter matches what tcpdump matches', { skip }, async (t) => {
  for (const [name, kind] of Object.entries(kinds())) {
    await t.test(name, async (t) => {
      const directory = t.testdir();
      const path = join(directory, 'frames.pcap');
      writeCapture(path, kind.linkType, kind.frames);
      const pathBeside = join(directory, 'beside.pcap');
      writeCapture(pathBeside, kind.linkType, kind.frames.map(withoutTag));
      const lab = new FilterLab();
      t.teardown(() => {
        lab.close();
      });
      const sees = (expression: string): boolean =>
        /\bvlan\b/.test(expression) || kind.linkType !== ETHERNET;
      const answers = eachWithMatches(EXPRESSIONS, (expression) =>
        Promise.all([
          tcpdumpMatches(path, expression),
          ...(sees(expression) ? [] : [tcpdumpMatches(pathBeside, expression)]),
        ]),
      );
      let telling = 0;
      for await (const [expression, [expected = '', expectedBeside = expected]] of answers) {
        if (typeof expected === 'string') {
          t.match(expected, /^tcpdump: /);
          t.throws(() => openCaptureFilter(expression, kind.linkType), FilterError, expression);
          continue;
        }
        if (expected.size > 0 && expected.size < kind.frames.length) telling++;
        testInFiles(t, expression, { ...kind, expected });
        if (typeof expectedBeside === 'string') throw new Error(expectedBeside);
        testInKernel(t, lab, expression, { ...kind, expected, expectedBeside });
      }
      t.ok(telling >= kind.telling, `${telling} of ${EXPRESSIONS.length} expressions tell apart`);
    });
  }
});

t.test('a filter that is too long for the optimizer matches the same', { skip }, async (t) => {
  const lab = new FilterLab();
  t.teardown(() => {
    lab.close();
  });
  const hosts = Array.from({ length: 250 }, (_, i) => `host 10.1.0.${i}`);
  const fd = lab.filter(hosts.join(' or '), 'flow_ingress');
  const source = Buffer.from('0a010000', 'hex');
  for (const [last, expected] of [
    [0, true],
    [120, true],
    [249, true],
    [250, false],
  ] as const) {
    const frame = ethernet('ipv4', ipv4({ protocol: 17 }, udp(20)));
    source.writeUInt8(last, 3);
    source.copy(frame, ETHERNET_OCTETS + 12);
    t.equal(lab.isMetered(lab.run(fd, frame), 'flow_ingress'), expected, `10.1.0.${last}`);
  }
});

/** Tagged, and without the tag still one that the kernel takes in a test run. */
function canLoseTag(bytes: Buffer): boolean {
  if (bytes.length < ETHERNET_OCTETS + TAG_OCTETS) return false;
  if (!TAG_PROTOCOLS.has(bytes.readUInt16BE(ETHERNET_OCTETS - 2))) return false;
  const least = LEAST_OCTETS.get(bytes.readUInt16BE(ETHERNET_OCTETS + 2)) ?? ETHERNET_OCTETS;
  return bytes.length - TAG_OCTETS >= least;
}

/** As the skb is; frames that cannot lose it are not asked for. */
function withoutTag(frame: Frame): Frame {
  const { bytes } = frame;
  if (!canLoseTag(bytes)) return frame;
  const addresses = bytes.subarray(0, ETHERNET_OCTETS - 2);
  return whole(Buffer.concat([addresses, bytes.subarray(ETHERNET_OCTETS + TAG_OCTETS - 2)]));
}
