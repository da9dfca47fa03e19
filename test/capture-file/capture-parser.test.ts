// Capture files of every kind give their frames, in whatever pieces they come; and broken ones give those
// before the place where they break.
import fc from 'fast-check';
import t from 'tap';
import { CaptureFileError, CaptureParser } from '../../src/capture-file/capture-parser.js';
import {
  pcapFile,
  pcapHeader,
  pcapngBlocks,
  pcapngFile,
  type WrittenFrame,
} from '../support/capture-writer.js';

interface ReadFrame {
  readonly bytes: string;
  readonly wireOctets: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly linkType: number;
  readonly interfaceId: number;
  readonly isLittleEndian: boolean;
}

interface ReadFile {
  readonly frames: readonly ReadFrame[];
  readonly fault: CaptureFileError | undefined;
}

/** Anything but a CaptureFileError is thrown on. */
function read(file: Buffer, pieceOctets = file.length): ReadFile {
  const parser = new CaptureParser();
  const frames: ReadFrame[] = [];
  try {
    for (let at = 0; at < file.length; at += pieceOctets) {
      // A copy that is overwritten, as the reader's buffers are.
      parser.push(Buffer.from(file.subarray(at, at + pieceOctets)));
      for (let frame = parser.next(); frame !== undefined; frame = parser.next()) {
        const { bytes, start, end, ...rest } = frame;
        const { wireOctets, seconds, nanoseconds, linkType, interfaceId, isLittleEndian } = rest;
        const text = bytes.toString('hex', start, end);
        const numbers = { wireOctets, seconds, nanoseconds, linkType, interfaceId };
        frames.push({ bytes: text, ...numbers, isLittleEndian });
      }
    }
    parser.end();
    return { frames, fault: undefined };
  } catch (error) {
    if (error instanceof CaptureFileError) return { frames, fault: error };
    throw error;
  }
}

const FRAMES: readonly WrittenFrame[] = [
  { bytes: Buffer.from('0102030405', 'hex'), seconds: 1_700_000_000, nanoseconds: 123_456_000 },
  {
    bytes: Buffer.from('0a', 'hex'),
    seconds: 1_700_000_000,
    nanoseconds: 999_999_000,
    wireOctets: 60,
  },
  { bytes: Buffer.alloc(0), seconds: 4_294_967_295, nanoseconds: 0, wireOctets: 1500 },
];

const READ = [
  { bytes: '0102030405', wireOctets: 5, seconds: 1_700_000_000, nanoseconds: 123_456_000 },
  { bytes: '0a', wireOctets: 60, seconds: 1_700_000_000, nanoseconds: 999_999_000 },
  { bytes: '', wireOctets: 1500, seconds: 4_294_967_295, nanoseconds: 0 },
];

for (const isBigEndian of [false, true]) {
  for (const isNanoseconds of [false, true]) {
    const kind = `${isBigEndian ? 'big' : 'little'} endian, ${isNanoseconds ? 'ns' : 'us'}`;
    t.test(`pcap, ${kind}`, async (t) => {
      const file = pcapFile(FRAMES, { linkType: 113, isBigEndian, isNanoseconds });
      const { frames, fault } = read(file);
      t.equal(fault, undefined);
      const same = { linkType: 113, interfaceId: 0, isLittleEndian: !isBigEndian };
      t.same(
        frames,
        READ.map((frame) => ({ ...frame, ...same })),
      );
      for (const octets of [1, 2, 3, 7, 24, 40]) t.same(read(file, octets).frames, frames);
    });
  }
  t.test(`pcapng, ${isBigEndian ? 'big' : 'little'} endian`, async (t) => {
    const file = pcapngFile(FRAMES, [276], isBigEndian);
    const { frames, fault } = read(file);
    t.equal(fault, undefined);
    const same = { linkType: 276, interfaceId: 0, isLittleEndian: !isBigEndian };
    t.same(
      frames,
      READ.map((frame) => ({ ...frame, ...same })),
    );
    for (const octets of [1, 2, 3, 7, 24, 40]) t.same(read(file, octets).frames, frames);
  });
}

t.test('nanoseconds are kept, in pcap and in pcapng', async (t) => {
  const frame = {
    bytes: Buffer.from('00', 'hex'),
    seconds: 1_700_000_000,
    nanoseconds: 987_654_321,
  };
  t.match(read(pcapFile([frame], { isNanoseconds: true })).frames, [{ nanoseconds: 987_654_321 }]);
  t.match(read(pcapngFile([frame])).frames, [{ seconds: 1_700_000_000, nanoseconds: 987_654_321 }]);
});

t.test('a pcapng interface says how its clock ticks', async (t) => {
  const blocks = pcapngBlocks();
  const bytes = Buffer.from('00', 'hex');
  const cases = [
    {
      name: 'microseconds without an option',
      options: Buffer.alloc(0),
      ticks: 1_700_000_000_123_456n,
    },
    { name: '10^-3', options: blocks.tsresol(3), ticks: 1_700_000_000_123n, ns: 123_000_000 },
    { name: '10^-9', options: blocks.tsresol(9), ticks: 1_700_000_000_123_456_000n },
    { name: '10^0', options: blocks.tsresol(0), ticks: 1_700_000_000n, ns: 0 },
    {
      name: '2^-10',
      options: blocks.tsresol(0x8a),
      ticks: (1_700_000_000n << 10n) + 512n,
      ns: 5e8,
    },
    {
      name: '2^-32',
      options: blocks.tsresol(0xa0),
      ticks: (1_700_000_000n << 32n) + (1n << 30n),
      ns: 25e7,
    },
    {
      name: 'an offset of seconds',
      options: Buffer.concat([
        blocks.tsresol(6),
        blocks.tsoffset(1_600_000_000n),
        blocks.endOfOptions,
      ]),
      ticks: 100_000_000_123_456n,
    },
    {
      name: 'an offset back',
      options: blocks.tsoffset(-100n),
      ticks: 1_700_000_100_123_456n,
    },
  ];
  for (const { name, options, ticks, ns = 123_456_000 } of cases) {
    const file = Buffer.concat([
      blocks.section(),
      blocks.interface(1, options),
      blocks.enhancedPacket(0, ticks, bytes),
      blocks.enhancedPacket(0, ticks, bytes),
    ]);
    const { frames, fault } = read(file);
    t.equal(fault, undefined, name);
    const time = { seconds: 1_700_000_000, nanoseconds: ns };
    t.match(frames, [time, time], name);
  }
});

t.test('sections have interfaces and a byte order of their own', async (t) => {
  const [little, big] = [pcapngBlocks(false), pcapngBlocks(true)];
  const file = Buffer.concat([
    little.section(),
    little.interface(1),
    little.interface(101),
    little.enhancedPacket(1, 1n, Buffer.from('45', 'hex')),
    little.packet(0, 2n, Buffer.from('46', 'hex'), 99),
    big.section(big.option(2, Buffer.from('hardware'))),
    big.interface(113),
    big.enhancedPacket(0, 3n, Buffer.from('47', 'hex')),
  ]);
  const { frames, fault } = read(file);
  t.equal(fault, undefined);
  t.match(frames, [
    { bytes: '45', linkType: 101, interfaceId: 1, isLittleEndian: true, nanoseconds: 1000 },
    { bytes: '46', linkType: 1, interfaceId: 0, wireOctets: 99, nanoseconds: 2000 },
    { bytes: '47', linkType: 113, interfaceId: 0, isLittleEndian: false, nanoseconds: 3000 },
  ]);
});

t.test('simple packets are cut as their interface says, and have the time before', async (t) => {
  const blocks = pcapngBlocks();
  const file = Buffer.concat([
    blocks.section(),
    blocks.interface(1, Buffer.alloc(0), 4),
    blocks.enhancedPacket(0, 5_000_000n, Buffer.from('00', 'hex')),
    blocks.simplePacket(Buffer.from('01020304', 'hex'), 60),
    blocks.simplePacket(Buffer.from('0102', 'hex')),
  ]);
  t.match(read(file).frames, [
    { bytes: '00', seconds: 5 },
    { bytes: '01020304', wireOctets: 60, seconds: 5 },
    { bytes: '0102', wireOctets: 2, seconds: 5 },
  ]);
});

t.test('blocks of other kinds are passed over, large ones too', async (t) => {
  const blocks = pcapngBlocks();
  const secrets = Buffer.alloc(3 * 2 ** 20, 'CLIENT_RANDOM');
  const file = Buffer.concat([
    blocks.section(),
    blocks.block(4, Buffer.from('names')),
    blocks.block(0x0a, secrets),
    blocks.interface(1),
    blocks.block(5, Buffer.alloc(12)),
    blocks.block(0x0bad, Buffer.from('custom')),
    blocks.enhancedPacket(0, 1n, Buffer.from('01', 'hex')),
    blocks.block(0x40000bad, Buffer.alloc(0)),
  ]);
  const { frames, fault } = read(file, 65_536);
  t.equal(fault, undefined);
  t.equal(frames.length, 1);
});

t.test('what is no capture is told by its first octets', async (t) => {
  for (const text of ['', 'a', 'hello, world', '#!/bin/sh\n']) {
    const { fault } = read(Buffer.from(text), 1000);
    t.match(fault, { code: 'NOT_A_CAPTURE', place: 0 });
  }
  t.match(read(Buffer.from('hello')).fault?.message, /68656c6c.*pcap/);
});

t.test('a file without packets is a capture', async (t) => {
  t.same(read(pcapHeader()), { frames: [], fault: undefined });
  t.same(read(pcapngBlocks().section()), { frames: [], fault: undefined });
});

const FILES = [
  { name: 'pcap', file: pcapFile(FRAMES), items: [24, 45, 62, 78] },
  { name: 'pcapng', file: pcapngFile(FRAMES), items: [28, 56, 96, 132, 164] },
] as const;

for (const { name, file, items } of FILES) {
  t.test(`${name} that ends anywhere gives what is whole, and the place`, async (t) => {
    const whole = read(file).frames;
    t.equal(items.at(-1), file.length, 'the places of its items are known');
    for (let octets = 4; octets < file.length; octets++) {
      const { frames, fault } = read(file.subarray(0, octets));
      const place = items.filter((end) => end <= octets).at(-1) ?? 0;
      const isBetween = place === octets;
      t.equal(fault?.code, isBetween ? undefined : 'TRUNCATED', `after ${octets} octets`);
      if (!isBetween) t.equal(fault?.place, place);
      t.same(frames, whole.slice(0, frames.length));
      const framesEnd = items.slice(name === 'pcap' ? 1 : 2);
      t.equal(frames.length, framesEnd.filter((end) => end <= octets).length);
    }
  });
}

t.test('damage is told with its place', async (t) => {
  const blocks = pcapngBlocks();
  const start = Buffer.concat([blocks.section(), blocks.interface(1)]);
  const frame = Buffer.from('01020304', 'hex');
  const packet = blocks.enhancedPacket(0, 1n, frame);
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(packet);
    copy.writeUInt32LE(value, at);
    return copy;
  };
  const cases = [
    { name: 'a block without a length', bytes: changed(4, 0), reason: /a block of 0 octets/ },
    { name: 'one that is no multiple of 4', bytes: changed(4, 37), reason: /37/ },
    { name: 'one of 4 GB', bytes: changed(4, 0xfffffffc), reason: /4294967292/ },
    { name: 'one that ends as another', bytes: changed(32, 40), reason: /36 octets.*of 40/ },
    { name: 'an interface that is not there', bytes: changed(8, 7), reason: /interface 7/ },
    {
      name: 'more octets than the block has',
      bytes: changed(20, 5),
      reason: /a packet of 5 octets/,
    },
    { name: 'a block too short for a packet', bytes: blocks.block(6, frame), reason: /4 octets/ },
    {
      name: 'an interface without a description',
      bytes: blocks.block(1, frame),
      reason: /interface/,
    },
  ];
  const place = start.length + packet.length;
  for (const { name, bytes, reason } of cases) {
    const { fault, frames } = read(Buffer.concat([start, packet, bytes, packet]));
    t.match(fault, { code: 'DAMAGED', place, message: reason }, name);
    t.equal(frames.length, 1, `${name}: what stands before it is read`);
  }
});

t.test('a section of more interfaces than any has is damage', async (t) => {
  const blocks = pcapngBlocks();
  const one = blocks.interface(1);
  const most = Buffer.concat([blocks.section(), ...Array.from({ length: 65_536 }, () => one)]);
  const packet = blocks.enhancedPacket(65_535, 1n, Buffer.from('01', 'hex'));
  const again = Buffer.concat([most, packet, most, packet]);
  t.match(read(again), { frames: { length: 2 }, fault: undefined }, 'each section has its own');
  const { frames, fault } = read(Buffer.concat([most, packet, one, packet]));
  const place = most.length + packet.length;
  t.match(fault, { code: 'DAMAGED', place, message: /more than 65536 interfaces/ });
  t.equal(frames.length, 1);
});

t.test('an item of many pieces is copied a few times, not with each of them', async (t) => {
  const blocks = pcapngBlocks();
  const secrets = blocks.block(0x0a, Buffer.alloc(2 ** 20, 'CLIENT_RANDOM'));
  const packet = blocks.enhancedPacket(0, 1n, Buffer.from('01020304', 'hex'));
  const file = Buffer.concat([blocks.section(), blocks.interface(1), secrets, packet, packet]);
  const parser = new CaptureParser();
  const frames: string[] = [];
  // What Buffer.concat takes too.
  const allocated = t.capture(Buffer, 'allocUnsafe', (size: number) => Buffer.alloc(size));
  for (let at = 0; at < file.length; at += 4096) {
    parser.push(file.subarray(at, at + 4096));
    for (let frame = parser.next(); frame !== undefined; frame = parser.next()) {
      frames.push(frame.bytes.toString('hex', frame.start, frame.end));
    }
  }
  parser.end();
  t.same(frames, ['01020304', '01020304']);
  const octets = allocated().reduce((sum, { args: [size] }) => sum + size, 0);
  t.ok(octets < 8 * file.length, `${octets} octets for a file of ${file.length}`);
});

t.test('after damage nothing more is read', async (t) => {
  const file = pcapFile(FRAMES);
  file.writeUInt32LE(300_000, 45 + 8);
  const parser = new CaptureParser();
  parser.push(file);
  t.ok(parser.next());
  const damaged = { code: 'DAMAGED', place: 45, message: /a packet of 300000 octets/ };
  t.throws(() => parser.next(), damaged);
  t.throws(() => parser.next(), damaged);
});

t.test('octets changed at random never throw anything else', async (t) => {
  const files = [
    pcapFile(FRAMES),
    pcapFile(FRAMES, { isBigEndian: true, isNanoseconds: true }),
    pcapngFile(FRAMES),
    pcapngFile(FRAMES, [1, 113], true),
  ];
  const change = fc.record({ at: fc.nat(), value: fc.nat(255) });
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.array(change, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 200 }),
      (file, changes, pieceOctets) => {
        const damaged = Buffer.from(file);
        for (const { at, value } of changes) damaged[at % damaged.length] = value;
        const pieces = read(damaged, pieceOctets);
        const whole = read(damaged);
        return (
          JSON.stringify(pieces.frames) === JSON.stringify(whole.frames) &&
          pieces.fault?.code === whole.fault?.code
        );
      },
    ),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...files), fc.uint8Array({ maxLength: 300 }), (file, tail) => {
      read(Buffer.concat([file.subarray(0, 60), tail]));
    }),
    { numRuns: 2000 },
  );
  t.pass('4000 files');
});
