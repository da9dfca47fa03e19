// Hostile capture files: each is read to its end or to where it is broken, and each frame before that is
// metered or told as what it is.
import t from 'tap';
import { openFrameReplay, type FrameReplay } from '../../src/bpf-loader/capture-replay.js';
import { FilterError } from '../../src/bpf-loader/filter/compile-filter.js';
import { CaptureFileError, CaptureParser } from '../../src/capture-file/capture-parser.js';
import { CaptureFrames } from '../../src/daemon/capture-frames.js';
import type { CaptureInput } from '../../src/daemon/capture-input.js';
import { CaptureInputError } from '../../src/daemon/capture-input-error.js';
import type { FlowSource, MeterCounters } from '../../src/flow/flow-source.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import { pcapFile, pcapngBlocks, pcapngFile } from '../support/capture-writer.js';
import { ODD_FRAMES } from '../support/odd-frames.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';
import { timeoutsOf } from '../support/timeouts.js';
import { captureFiles } from './frames.js';
import { fuzz } from './fuzz-rounds.js';
import { mutated, type MutateOptions } from './mutate.js';
import type { Random } from './random.js';

const skip = cannotLoadPrograms();
const FILES = 20;
const MAX_FILE_OCTETS = 6000;
/** The header, an interface's description, the first packet. */
const HEAD_OCTETS = 160;
/** Mostly none. */
const FILTERS = ['', '', '', 'tcp or udp port 53', 'vlan and ip6', 'len > 60'];
const LINK_TYPES = [0, 1, 9, 12, 50, 101, 104, 108, 113, 228, 229, 276, 105, 147];

const frames = ODD_FRAMES.slice(0, 20).map((bytes, i) => ({
  ...{ bytes, seconds: 1_700_000_000 + i, nanoseconds: i * 1000 },
}));

function otherFiles(): Buffer[] {
  return [true, false].flatMap((isBigEndian) => {
    const blocks = pcapngBlocks(isBigEndian);
    const packets = frames.flatMap(({ bytes }, i) => [
      blocks.enhancedPacket(0, BigInt(i) * 1_000_000n, bytes, bytes.length + i),
      blocks.simplePacket(bytes),
      blocks.packet(1, 1n << 50n, bytes),
    ]);
    const options = [blocks.tsresol(0x8a), blocks.tsoffset(-5n), blocks.endOfOptions];
    return [
      ...LINK_TYPES.map((linkType) => pcapFile(frames, { linkType, isBigEndian })),
      pcapFile(frames, { isBigEndian, isNanoseconds: true }),
      ...LINK_TYPES.map((linkType) => pcapngFile(frames, [linkType, 1], isBigEndian)),
      Buffer.concat([
        ...[blocks.section(), blocks.interface(1, Buffer.concat(options)), blocks.interface(113)],
        ...[...packets, blocks.section(), blocks.interface(101), ...packets],
      ]),
    ];
  });
}

const others = [...captureFiles(), ...otherFiles(), ...otherFiles()];
const changes: MutateOptions = { others, head: HEAD_OCTETS, least: 0, most: MAX_FILE_OCTETS };

function piecesOf(random: Random, file: Buffer): Buffer[] {
  const most = random.pick([3, 50, 1000, MAX_FILE_OCTETS]);
  const pieces: Buffer[] = [];
  for (let at = 0; at < file.length;) {
    const end = at + random.between(1, most);
    pieces.push(file.subarray(at, end));
    at = end;
  }
  return pieces;
}

function inputOf(pieces: readonly Buffer[]): CaptureInput {
  const left = [...pieces];
  return {
    name: 'a hostile file',
    octets: undefined,
    read: async () => left.shift(),
    close: async () => undefined,
  };
}

/** How many frames the parser finds, and what it ends with. */
function parsed(pieces: readonly Buffer[]): string {
  const parser = new CaptureParser();
  let found = 0;
  try {
    for (const piece of pieces) {
      parser.push(piece);
      while (parser.next() !== undefined) found++;
    }
    parser.end();
  } catch (error) {
    if (!(error instanceof CaptureFileError)) throw error;
    return `${found} frames, ${error.code} at ${error.place}`;
  }
  return `${found} frames`;
}

interface Packets {
  packets: number;
  octets: number;
}

async function drain(source: Pick<FlowSource, 'sweep'>, scope: 'all' | 'expired', sum: Packets) {
  const record = new FlowRecord();
  let records = 0;
  for await (const { bytes, count } of source.sweep(scope)) {
    for (let i = 0; i < count; i++) {
      record.at(bytes, i * FLOW_RECORD.size);
      sum.packets += record.packets;
      sum.octets += record.octets;
    }
    records += count;
  }
  return records;
}

class FileFuzz {
  /** The time of the file that is read. */
  #frames: CaptureFrames | undefined;
  readonly #replay: FrameReplay = openFrameReplay({
    timeouts: timeoutsOf(1000, 5000),
    maxFlows: 256,
    nowNs: () => this.#frames?.sweepNs ?? 1n,
  });

  close(): void {
    this.#replay.close();
  }

  async round(random: Random): Promise<number> {
    for (let i = 0; i < FILES; i++) {
      const file = random.oneIn(20) ? random.octets(random.below(200)) : mutated(random, changes);
      const pieces = piecesOf(random, file);
      const [whole, inPieces] = [parsed([file]), parsed(pieces)];
      if (whole !== inPieces)
        throw new Error(`${inPieces} in pieces, ${whole} as a whole: ${hex(file)}`);
      try {
        await this.#meter(pieces, random.pick(FILTERS));
      } catch (error) {
        throw new Error(`${String(error)}: ${hex(file)}`, { cause: error });
      }
    }
    return FILES;
  }

  async #meter(pieces: readonly Buffer[], filter: string): Promise<void> {
    const replay = this.#replay;
    const { signal } = new AbortController();
    const read = new CaptureFrames({
      input: inputOf(pieces),
      filter: filter === '' ? undefined : filter,
      sweepIntervalMs: 1000,
    });
    this.#frames = read;
    const before = replay.counters();
    const sum = { packets: 0, octets: 0 };
    try {
      const clock = await read.begin(signal);
      while (await read.meterUntilSweep(replay, clock, signal)) {
        await drain(replay, read.isLeaping ? 'all' : 'expired', sum);
      }
    } catch (error) {
      if (!(error instanceof CaptureInputError) && !(error instanceof FilterError)) throw error;
    }
    replay.flush();
    while ((await drain(replay, 'all', sum)) > 0);
    expectAll(read, sum, before, replay.counters());
  }
}

function expectAll(
  read: CaptureFrames,
  sum: Packets,
  before: MeterCounters,
  after: MeterCounters,
): void {
  const counted = (name: keyof MeterCounters): number => after[name] - before[name];
  const { frames, filtered, unreadable, unfit } = read.counts();
  const passed = [...Object.values(unreadable), ...Object.values(unfit)];
  const wanted = frames - passed.reduce((all, one) => all + one, filtered);
  const metered = counted('METERED_PACKETS');
  const seen = metered + counted('NON_IP_FRAMES') + counted('MALFORMED_PACKETS');
  if (seen !== wanted) throw new Error(`${seen} frames metered or told, of ${wanted}`);
  if (sum.packets !== metered - counted('LOST_PACKETS')) throw new Error(`${sum.packets} packets`);
  if (sum.octets !== counted('METERED_OCTETS') - counted('LOST_OCTETS')) {
    throw new Error(`${sum.octets} octets`);
  }
}

function hex(file: Buffer): string {
  return file.toString('hex');
}

t.test('any file is read as far as it goes', { skip }, async (t) => {
  const files = new FileFuzz();
  t.teardown(() => {
    files.close();
  });
  await fuzz(t, 'capture files', {
    share: 0.1,
    cases: 'files',
    round: (random) => files.round(random),
  });
});
