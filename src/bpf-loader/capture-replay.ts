// The frames of a capture file as a FlowSource: they run through the program that meters interfaces,
// several with each BPF_PROG_TEST_RUN (docs/adr/0015-capture-files.md).
import { constants } from 'node:os';
import { REPLAY_FRAME } from '../flow/flow-contract.gen.js';
import type { FlowSource } from '../flow/flow-source.js';
import type { FlowTimeouts } from '../flow/flow-timeouts.js';
import { NO_SAMPLING, type Sampling } from '../flow/sampling.js';
import type { TrackLevel } from '../flow/track-level.js';
import { BpfObject } from './bpf-object.js';
import { openFlowCache, type FlowCache } from './flow-cache.js';
import { moveFlows } from './move-flows.js';
import { prepareTestRun, type PreparedTestRun } from './native/libbpf-arguments.js';

export interface ReplayOptions {
  readonly timeouts: FlowTimeouts;
  /** Of both IP versions together. More end early when the cache is swept. */
  readonly maxFlows: number;
  /** Which packets are metered; default: all. */
  readonly sampling?: Sampling;
  /** What tells flows apart; default: full. */
  readonly trackLevel?: TrackLevel;
  /** The time at which flows expire, as that of frames. */
  readonly nowNs: () => bigint;
  /** There will be few flows at a time, as far as can be told. */
  readonly isSparse?: boolean;
}

/** A frame as the kernel is to see it. */
export interface ReplayFrame {
  /** Holds the frame's octets from `start` up to `end`. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** On the wire. */
  readonly wireOctets: number;
  /** At most so many are handed to the kernel; more need not be there. */
  readonly wantedOctets: number;
  /** Since a base of the caller's, which the records' times have too; together not 0. */
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly interfaceIndex: number;
  /** Octets before what `ethertype` tells; see struct replay_frame. */
  readonly linkOctets: number;
  readonly ethertype: number;
}

export interface FrameReplay extends FlowSource {
  /** Takes a copy, which is metered with the others of its batch. */
  readonly add: (frame: ReplayFrame) => void;
  /** Meters what was added. To be called before a sweep. */
  readonly flush: () => void;
  /** Whether a sweep is due because there are more flows than there should be. */
  readonly isFull: () => boolean;
  /** How many flows the cache has room for, and how often it was walked. */
  readonly cacheUse: () => { readonly room: number; readonly walks: number };
}

/** The kernel wants them on one page, with room for an skb: some less than 4096 on all machines. */
const BATCH_OCTETS = 3584;
/**
 * To the kernel the first octets are an Ethernet header. Where the length of the first frame, 8 octets, looks like
 * IPv4's EtherType, kernel 6.18 wants a whole IP header behind it.
 */
const LEAST_BATCH_OCTETS = 64;
const HEADER_OCTETS = REPLAY_FRAME.size;
const SKB_OCTETS = 192; // struct __sk_buff
const CURSOR_OFFSET = 48; // cb[0]
const KEY_ZERO = Buffer.alloc(4);
const PROGRESS_MAP = '.bss.replay';
const WORD = 2 ** 32;
const HALF_WORD = 2 ** 16;
const NS_PER_SECOND = 1e9;
/** Above what there may be, so that a sweep has something to do. */
const SURPLUS_SHARE = 0.1;
/** Of one batch, in which each frame can be a flow. */
const MAX_BATCH_FRAMES = Math.floor(BATCH_OCTETS / HEADER_OCTETS);
/** A sparse capture begins with so much room: what a sweep costs goes by the room. */
const SPARSE_FLOWS = 1000;
const NS_PER_MS = 1e6;
/** Times are compared as doubles, whose last bit is some hundred nanoseconds. */
const ROUNDING_MS = 1;

/** Maps for what is learned of processes: there are none. */
const NOBODYS = {
  late_owners: 1,
  peer_owners: 1,
  far_owners: 1,
  unsampled_v4: 1,
  unsampled_v6: 1,
} as const;

/** @throws BpfError with a message for the user */
export function openFrameReplay(options: ReplayOptions): FrameReplay {
  const mostFlows = options.maxFlows + Math.ceil(options.maxFlows * SURPLUS_SHARE);
  const firstFlows = options.isSparse === true ? Math.min(SPARSE_FLOWS, mostFlows) : mostFlows;
  return new Replay(options, mostFlows, openCache(options, firstFlows));
}

/** The programs, and maps of which those of the flows have a size. */
interface ReplayCache {
  readonly object: BpfObject;
  readonly cache: FlowCache;
  readonly programFd: number;
  /** With more flows a sweep is due, or a larger cache. */
  readonly mostFlows: number;
  readonly room: number;
}

function openCache(options: ReplayOptions, mostFlows: number, before?: ReplayCache): ReplayCache {
  const { sampling = NO_SAMPLING, trackLevel = 'full' } = options;
  const room = mostFlows + MAX_BATCH_FRAMES;
  const object = BpfObject.load({
    maxEntries: { flows_v4: room, flows_v6: room, ...NOBODYS },
    ...{ sampling, trackLevel, capture: 'file' },
    ...(before !== undefined && { sharing: before.object }),
  });
  try {
    if (before !== undefined) moveFlows(before.object, object);
    const programFd = object.programFd('replay_frames');
    return { object, programFd, mostFlows, room, cache: openFlowCache(object, options) };
  } catch (error) {
    object.close();
    throw error;
  }
}

function closeCache({ cache, object }: ReplayCache): void {
  cache.close();
  object.close();
}

class Replay implements FrameReplay {
  readonly #options: ReplayOptions;
  readonly #mostFlows: number;
  readonly #leastTimeoutMs: number;
  #opened: ReplayCache;
  readonly #batch = Buffer.alloc(BATCH_OCTETS);
  readonly #context = Buffer.alloc(SKB_OCTETS);
  readonly #run: PreparedTestRun;
  #octets = 0;
  /** Where frames begin in the batch. */
  readonly #starts: number[] = [];
  /** In all batches before. */
  #framesRun = 0;
  /** There are no more flows than these. */
  #flowsAtMost = 0;
  /** No packet of the flows in the cache is of a time before. */
  #earliestMs = Infinity;
  #walks = 0;

  constructor(options: ReplayOptions, mostFlows: number, opened: ReplayCache) {
    this.#options = options;
    this.#mostFlows = mostFlows;
    const { maxlife, general, tcp, udp, icmp, ...ended } = options.timeouts;
    const idle = [general, tcp, udp, icmp, ended['tcp.rst'], ended['tcp.fin']];
    this.#leastTimeoutMs = Math.min(maxlife, ...idle);
    this.#opened = opened;
    this.#run = prepareTestRun(this.#batch, this.#context);
  }

  add(frame: ReplayFrame): void {
    const { start, end, wantedOctets } = frame;
    const octets = Math.min(end - start, wantedOctets, BATCH_OCTETS - HEADER_OCTETS);
    if (this.#octets + HEADER_OCTETS + octets > BATCH_OCTETS) this.flush();
    const at = this.#octets;
    const { fields } = REPLAY_FRAME;
    const batch = this.#batch;
    writeTime(frame, batch, at + fields.time_ns.offset);
    batch.writeUInt32LE(frame.wireOctets, at + fields.wire_length.offset);
    batch.writeUInt32LE(octets, at + fields.captured_length.offset);
    batch.writeUInt32LE(frame.interfaceIndex, at + fields.interface_index.offset);
    batch.writeUInt16LE(frame.linkOctets, at + fields.link_octets.offset);
    batch.writeUInt16LE(frame.ethertype, at + fields.ethertype.offset);
    frame.bytes.copy(batch, at + HEADER_OCTETS, start, start + octets);
    this.#starts.push(at);
    this.#octets = at + HEADER_OCTETS + octets;
    const timeMs = frame.seconds * 1000 + frame.nanoseconds / NS_PER_MS;
    if (timeMs < this.#earliestMs) this.#earliestMs = timeMs;
  }

  isFull(): boolean {
    if (this.#flowsAtMost + this.#starts.length <= this.#opened.mostFlows) return false;
    this.flush();
    this.#flowsAtMost = this.#opened.cache.flowCount();
    if (this.#flowsAtMost <= this.#opened.mostFlows) return false;
    if (this.#opened.mostFlows < this.#mostFlows) this.#grow();
    return this.#flowsAtMost > this.#mostFlows;
  }

  /** Once, and to all the room that there may be: it takes as long as starting. */
  #grow(): void {
    const small = this.#opened;
    this.#opened = openCache(this.#options, this.#mostFlows, small);
    closeCache(small);
  }

  /** Walking the cache takes as long as a thousand packets, and captures have pauses. */
  async *sweep(scope: Parameters<FlowSource['sweep']>[0]): ReturnType<FlowSource['sweep']> {
    const { cache } = this.#opened;
    const flows = cache.flowCount();
    if (flows > 0 && (scope === 'all' || this.#mayExpire(flows))) {
      this.#walks++;
      yield* cache.sweep(scope);
    }
    if (cache.flowCount() === 0) this.#earliestMs = Infinity;
  }

  /** Whether a timeout can have passed, or room is wanted. */
  #mayExpire(flows: number): boolean {
    if (flows > this.#options.maxFlows) return true;
    const nowMs = Number(this.#options.nowNs()) / NS_PER_MS;
    return nowMs >= this.#earliestMs + this.#leastTimeoutMs - ROUNDING_MS;
  }

  cacheUse(): { readonly room: number; readonly walks: number } {
    return { room: this.#opened.room, walks: this.#walks };
  }

  counters(): ReturnType<FlowSource['counters']> {
    return this.#opened.cache.counters();
  }

  stop(): void {
    // Nothing comes by itself.
  }

  close(): void {
    closeCache(this.#opened);
  }

  flush(): void {
    const starts = this.#starts;
    const { object, programFd } = this.#opened;
    for (let done = 0; done < starts.length;) {
      this.#context.writeUInt32LE(starts[done] ?? 0, CURSOR_OFFSET);
      this.#run.set(Math.max(this.#octets, LEAST_BATCH_OCTETS), starts.length - done);
      const result = object.libbpf.testRunPrepared(programFd, this.#run.options);
      if (result === 0) break;
      // The kernel stops between two frames when a signal is pending.
      if (result !== -constants.errno.EINTR) throw object.error(-result, 'meter frames');
      done = this.#framesEverRun() - this.#framesRun;
    }
    this.#framesRun += starts.length;
    this.#flowsAtMost += starts.length;
    starts.length = 0;
    this.#octets = 0;
  }

  #framesEverRun(): number {
    const value = Buffer.alloc(8);
    const { object } = this.#opened;
    const result = object.libbpf.lookup(object.mapFd(PROGRESS_MAP), KEY_ZERO, value);
    if (result < 0) throw object.error(-result, 'read how many frames were metered');
    return Number(value.readBigUInt64LE());
  }
}

/** As 64 bits, in halves: a double has room for 104 days of nanoseconds. */
function writeTime({ seconds, nanoseconds }: ReplayFrame, out: Buffer, at: number): void {
  const upper = Math.floor(seconds / HALF_WORD) * NS_PER_SECOND;
  const lower = (seconds % HALF_WORD) * NS_PER_SECOND + nanoseconds;
  const rest = (upper % HALF_WORD) * HALF_WORD + lower;
  out.writeUInt32LE(rest % WORD, at);
  out.writeUInt32LE(Math.floor(upper / HALF_WORD) + Math.floor(rest / WORD), at + 4);
}
