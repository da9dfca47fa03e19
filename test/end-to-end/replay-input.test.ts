// Where captures come from: files of every kind, pipes, and what is none or cannot be read.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { CaptureParser } from '../../src/capture-file/capture-parser.js';
import { pcapFile, pcapngFile, type WrittenFrame } from '../support/capture-writer.js';
import { ethernet, ipv4, udp } from '../support/packet-bytes.js';
import type { Program, Teardown } from '../support/program.js';
import { runProcflow, startProcflow } from '../support/procflow.js';
import { writeTemporary } from '../support/replay-lab.js';
import { flowsByKey, NOTHING_EXPIRES, replayAsJson, sorted } from '../support/replayed-flows.js';
import { missingRequirement, PROJECT_ROOT } from '../support/requirements.js';
import { tsharkFlowsOf } from '../support/tshark-frames.js';

const skip = missingRequirement();
const MIXED = join(PROJECT_ROOT, 'test/captures/ipfixprobe/mixed.pcap');

function framesOf(path: string): WrittenFrame[] {
  const parser = new CaptureParser();
  parser.push(readFileSync(path));
  const frames: WrittenFrame[] = [];
  for (let frame = parser.next(); frame !== undefined; frame = parser.next()) {
    const { bytes, start, end, seconds, nanoseconds, wireOctets } = frame;
    frames.push({
      bytes: Buffer.from(bytes.subarray(start, end)),
      seconds,
      nanoseconds,
      wireOctets,
    });
  }
  return frames;
}

/** Without the Ethernet header, of what is IP. */
function rawOf(frames: readonly WrittenFrame[]): WrittenFrame[] {
  return frames
    .filter(({ bytes }) => [0x0800, 0x86dd].includes(bytes.readUInt16BE(12)))
    .map((frame) => ({
      ...frame,
      bytes: frame.bytes.subarray(14),
      wireOctets: (frame.wireOctets ?? frame.bytes.length) - 14,
    }));
}

t.test('a capture has the same flows in every kind of file', { skip }, async (t) => {
  const frames = framesOf(MIXED);
  const expected = sorted(tsharkFlowsOf(MIXED));
  const cut = frames.map((frame) => ({ ...frame, bytes: frame.bytes.subarray(0, 96) }));
  const kinds: Readonly<Record<string, Buffer>> = {
    'big endian': pcapFile(frames, { isBigEndian: true }),
    nanoseconds: pcapFile(frames, { isNanoseconds: true }),
    pcapng: pcapngFile(frames),
    'pcapng, big endian': pcapngFile(frames, [1], true),
    'two sections': Buffer.concat([
      pcapngFile(frames.slice(0, 100)),
      pcapngFile(frames.slice(100), [1], true),
    ]),
    'raw IP': pcapFile(rawOf(frames), { linkType: 101 }),
    'frames cut to 96 octets': pcapFile(cut),
  };
  const path = writeTemporary(t, Buffer.alloc(0));
  const byEditcap = join(dirname(path), 'editcap');
  execFileSync('editcap', ['-F', 'nsecpcap', MIXED, byEditcap]);
  for (const [kind, file] of [
    ...Object.entries(kinds),
    ['editcap', readFileSync(byEditcap)] as const,
  ]) {
    const args = ['-r', writeTemporary(t, file), ...NOTHING_EXPIRES];
    const { flows, err, code } = await replayAsJson(t, args);
    t.equal(code, 0, err);
    t.same(sorted(flowsByKey(flows)), expected, kind);
  }
});

const START_S = 1_700_000_000;

function frame(port: number, seconds: number): WrittenFrame {
  const bytes = ethernet('ipv4', ipv4({ protocol: 17 }, udp(10, [port, 53])));
  return { bytes, seconds: START_S + seconds, nanoseconds: 250_000_000 };
}

t.test('from a pipe flows are told while it goes on', { skip }, async (t) => {
  const live = startProcflow(t, ['live', '--json', '-r', '-', '--idle-timeout', '5']);
  const file = pcapFile([frame(1, 0), frame(2, 60)]);
  live.write(file.subarray(0, 30));
  live.write(file.subarray(30));
  const line = await live.line('out', /flowStart/);
  t.match(JSON.parse(line), {
    sourceTransportPort: 1,
    flowStartMilliseconds: START_S * 1000 + 250,
    flowEndReason: 'idleTimeout',
    sourceProcess: null,
    destinationProcess: null,
  });
  t.equal(live.out.length, 1);
  live.endInput();
  await live.success();
  t.match(
    live.out.slice(1).map((text) => JSON.parse(text) as unknown),
    [{ sourceTransportPort: 2, flowEndReason: 'forced' }],
  );
});

t.test('a pipe that stays silent can be left', { skip }, async (t) => {
  const live = startProcflow(t, ['live', '--json', '-r', '-']);
  live.write(pcapFile([frame(1, 0)]));
  await live.line('err', /metering standard input/);
  const end = await live.stop('SIGINT');
  t.equal(end.code, 0);
  t.match(
    live.out.map((text) => JSON.parse(text) as unknown),
    [{ sourceTransportPort: 1 }],
  );
});

function makeFifo(t: Teardown): string {
  const path = join(dirname(writeTemporary(t, Buffer.alloc(0))), 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

/** Until the program has opened it, of which nobody is told. */
async function untilOpen({ pid }: Program, path: string): Promise<void> {
  const folder = `/proc/${pid}/fd`;
  const isOpen = (fd: string): boolean => {
    try {
      return readlinkSync(join(folder, fd)) === path;
    } catch {
      return false; // closed since
    }
  };
  for (let i = 0; i < 1000; i++) {
    if (readdirSync(folder).some(isOpen)) return;
    await sleep(20);
  }
  throw new Error(`${path} is not opened`);
}

t.test('a named pipe is read as standard input is', { skip }, async (t) => {
  const path = makeFifo(t);
  const writer = openSync(path, constants.O_RDWR);
  const live = startProcflow(t, ['live', '--json', '-r', path]);
  writeSync(writer, pcapFile([frame(1, 0), frame(2, 1)]));
  await live.line('err', /metering .*fifo/);
  closeSync(writer);
  await live.success();
  t.equal(live.out.length, 2);
});

t.test('a named pipe that stays silent can be left', { skip }, async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const path = makeFifo(t);
    const writer = openSync(path, constants.O_RDWR);
    const live = startProcflow(t, ['live', '--json', '-r', path]);
    writeSync(writer, pcapFile([frame(1, 0)]));
    await live.line('err', /metering .*fifo/);
    const end = await live.stop(signal);
    closeSync(writer);
    t.equal(end.code, 0, signal);
    t.match(
      live.out.map((text) => JSON.parse(text) as unknown),
      [{ sourceTransportPort: 1 }],
    );
    t.match(live.err.join('\n'), /1 flow records/);
  }
});

t.test('a named pipe waits for a writer, and can be left without one', { skip }, async (t) => {
  const path = makeFifo(t);
  const left = startProcflow(t, ['live', '--json', '-r', path]);
  await untilOpen(left, path);
  const end = await left.stop('SIGINT');
  t.equal(end.code, 0);
  t.match(left.err.join('\n'), /0 flow records/);

  const read = startProcflow(t, ['live', '--json', '-r', path]);
  await untilOpen(read, path);
  writeFileSync(path, pcapFile([frame(1, 0)]));
  await read.success();
  t.equal(read.out.length, 1);
});

t.test('an interface that the filter does not fit is told', { skip }, async (t) => {
  const raw = ipv4({ protocol: 17 }, udp(10, [2, 53]));
  const other = { ...frame(2, 1), bytes: raw, interfaceId: 1 };
  const path = writeTemporary(t, pcapngFile([frame(1, 0), other], [1, 101]));
  const { flows, err, code } = await replayAsJson(t, ['-r', path, 'not', 'vlan']);
  t.equal(code, 0, err);
  t.match(flows, [{ sourceTransportPort: 1 }]);
  t.match(err, /1 frames of link type 101, which the filter does not fit/);
});

t.test('a line of a flow has its day, and no process', { skip }, async (t) => {
  const path = writeTemporary(t, pcapFile([frame(1, 0)]));
  const { out, err, end } = await runProcflow(t, ['live', '-r', path], { TZ: 'UTC' });
  t.equal(end.code, 0, err);
  t.match(
    out,
    /^2023-11-14 22:13:20\.250 {2}10\.0\.0\.1:1 -> 10\.0\.0\.2:53 +UDP +38 +1 +0\.000s$/,
  );
  t.match(err, /1 flow records, 1 packets, 38 octets in 0\.0 s of capture \(forced 1\)/);
  t.match(err, /read 1 frames in/);
});

t.test('a file that is broken is metered up to there, and told', { skip }, async (t) => {
  const whole = pcapFile([frame(1, 0), frame(2, 1)]);
  const path = writeTemporary(t, whole.subarray(0, whole.length - 1));
  const { flows, err, code } = await replayAsJson(t, ['-r', path]);
  t.equal(code, 1);
  t.match(flows, [{ sourceTransportPort: 1 }]);
  t.match(err, `read ${path}: broken at octet 92: `);
  t.match(err, /1 flow records/);
});

const REFUSED = [
  { name: 'no such file', args: ['-r', '/no/such/file'], code: 1, message: /ENOENT.*no such file/ },
  { name: 'a directory', args: ['-r', '/'], code: 1, message: /EISDIR.*directory/ },
  { name: 'no capture', args: ['-r', '/etc/passwd'], code: 1, message: /it is no capture/ },
  { name: 'nothing', args: ['-r', '/dev/null'], code: 1, message: /it is empty/ },
  { name: 'an interface too', args: ['-r', MIXED, '-i', 'lo'], code: 2, message: /-i lo/ },
  { name: 'sockets', args: ['-r', MIXED, '--capture', 'sockets'], code: 2, message: /--capture/ },
  { name: '--wide', args: ['-r', MIXED, '--wide'], code: 2, message: /--wide/ },
  { name: 'a cgroup', args: ['-r', MIXED, '--cgroup', '/'], code: 2, message: /--cgroup/ },
  { name: 'a filter that is none', args: ['-r', MIXED, 'prot', 'udp'], code: 2, message: /prot/ },
];

t.test('what cannot be read is told in one line', { skip }, async (t) => {
  for (const { name, args, code, message } of REFUSED) {
    const { out, err, end } = await runProcflow(t, ['live', ...args]);
    t.equal(end.code, code, name);
    t.match(err, message, name);
    t.equal(err.split('\n').length, 1, `${name}: ${err}`);
    t.equal(out, '');
  }
});
