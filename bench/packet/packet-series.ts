// Many different packets through a program of procflow's and through an empty one, in turn, within
// one BPF_PROG_TEST_RUN (packet_series.bpf.c): what procflow adds to a packet.
import { join } from 'node:path';
import type { BpfObject, LoadedPrograms } from '../../src/bpf-loader/bpf-object.js';
import { openLibbpf } from '../../src/bpf-loader/bpf-object.js';
import { openArgument, testRunArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import type { MapPointer, ProgramPointer } from '../../src/bpf-loader/native/libbpf.js';
import type { Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';

const PATH = join(PROJECT_ROOT, 'build/bench/packet/packet_series.bpf.o');
const KEY_OCTETS = 4;
const SKB_OCTETS = 192; // struct __sk_buff
const IFINDEX_OFFSET = 40;
const HEAD_OCTETS = 40; // struct series before began_ns
const MAX_PASSES = 256;
const TARGET = { empty: 0, real: 1 } as const;
/** Of which the first fills the cache and the last has no end. */
const EXTRA_PASSES = 2;

export interface Series {
  readonly program: string;
  /** In the place of procflow's program. */
  readonly instead?: number;
  readonly frame: Buffer;
  /** Where in the frame the last four octets of its source address are. */
  readonly addressAt: number;
  /** In the caller's network namespace. */
  readonly interfaceIndex: number;
  /** Different packets, each of its own flow. */
  readonly flows: number;
  /** Of a pass; at least as many as flows. */
  readonly packets: number;
  /** Passes over each of the two programs. */
  readonly rounds: number;
  /** Each pass has flows that are not in the cache yet; those of the first pass are. */
  readonly isNew?: boolean;
  /** The number of the first flow; default: 0. */
  readonly firstFlow?: number;
  /** The packets' socket has a process. */
  readonly hasOwner?: boolean;
}

/** Nanoseconds a packet, one value a round; a round's two passes followed each other. */
export interface SeriesTimes {
  readonly empty: readonly number[];
  readonly real: readonly number[];
}

export interface SeriesRunner {
  /** @throws BpfError */
  readonly run: (series: Series) => SeriesTimes;
}

/** @throws BpfError, Error */
export function openSeriesRunner(t: Teardown, real: BpfObject, twin: LoadedPrograms): SeriesRunner {
  const libbpf = openLibbpf();
  const log = Buffer.alloc(65536);
  const object = libbpf.openFile(PATH, openArgument(log));
  if (object === null) throw new Error(`${PATH} cannot be opened`);
  t.teardown(() => libbpf.close(object));
  const check = (result: number, operation: string): void => {
    if (result < 0)
      throw new Error(`${operation}: ${result} ${log.toString('utf8', 0, log.indexOf(0))}`);
  };
  const map = (name: string): MapPointer => found(libbpf.findMap(object, name), name);
  const program: ProgramPointer = found(libbpf.findProgram(object, 'packet_series'), 'the program');
  check(libbpf.reuseMap(map('socket_owners'), real.mapFd('socket_owners')), 'share the owners');
  check(libbpf.load(object), 'load the series');
  const update = (name: string, key: number, value: Buffer): void => {
    const bytes = Buffer.alloc(KEY_OCTETS);
    bytes.writeUInt32LE(key);
    check(libbpf.update(libbpf.mapFd(map(name)), bytes, value, 0), `write ${name}`);
  };
  const aim = (target: number, fd: number): void => {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(fd);
    update('targets', target, value);
  };
  return {
    run: (series) => {
      aim(TARGET.empty, twin.programFd(series.program));
      aim(TARGET.real, series.instead ?? real.programFd(series.program));
      const state = seriesState(series);
      update('series', 0, state);
      const passes = 2 * series.rounds + EXTRA_PASSES;
      const context = Buffer.alloc(SKB_OCTETS);
      context.writeUInt32LE(series.interfaceIndex, IFINDEX_OFFSET);
      const repeat = passes * series.packets;
      const argument = testRunArgument({ packet: series.frame, context, repeat });
      check(libbpf.testRun(libbpf.programFd(program), argument), `run ${series.program}`);
      check(libbpf.lookup(libbpf.mapFd(map('series')), Buffer.alloc(KEY_OCTETS), state), 'read');
      return timesOf(state, series);
    },
  };
}

function found<Pointer>(pointer: Pointer | null, name: string): Pointer {
  if (pointer === null) throw new Error(`${name} is not in ${PATH}`);
  return pointer;
}

/** struct series, before its first packet. */
function seriesState(series: Series): Buffer {
  const state = Buffer.alloc(HEAD_OCTETS + MAX_PASSES * 8);
  const fields = [
    series.flows,
    series.packets,
    series.addressAt,
    series.isNew === true ? 1 : 0,
    series.hasOwner === true ? 1 : 0,
    ...[0, 0, 0], // what goes on from packet to packet
    series.firstFlow ?? 0,
  ];
  fields.forEach((value, i) => state.writeUInt32LE(value, i * 4));
  return state;
}

/** Pass 1 filled the cache; 2, 4, ... went to the empty program, 3, 5, ... to the real one. */
function timesOf(state: Buffer, { packets, rounds }: Series): SeriesTimes {
  const began = (pass: number): bigint => state.readBigUInt64LE(HEAD_OCTETS + pass * 8);
  const ns = (pass: number): number => Number(began(pass + 1) - began(pass)) / packets;
  const passes = Array.from({ length: rounds }, (_, round) => 2 + 2 * round);
  return { empty: passes.map((pass) => ns(pass)), real: passes.map((pass) => ns(pass + 1)) };
}
