// Reads a capture file frame by frame into the flow source that meters them, until a sweep is due.
import { CaptureFileError, CaptureParser } from '../capture-file/capture-parser.js';
import type { CapturedFrame } from '../capture-file/captured-frame.js';
import {
  linkTypeText,
  readLinkLayer,
  wantedOctets,
  type LinkLayer,
} from '../capture-file/link-layer.js';
import type { FrameReplay, ReplayFrame } from '../bpf-loader/capture-replay.js';
import { openCaptureFilter, type CaptureFilter } from '../bpf-loader/filter/capture-filter.js';
import { FilterError } from '../bpf-loader/filter/compile-filter.js';
import {
  CaptureClock,
  milliseconds,
  nanosecondsOf,
  possibleTime,
  type CaptureTime,
} from './capture-clock.js';
import { isSparse } from './capture-density.js';
import { CaptureInputError } from './capture-input-error.js';
import type { CaptureInput } from './capture-input.js';

export interface CaptureFramesOptions {
  readonly input: CaptureInput;
  /** Only frames that match; default: all. */
  readonly filter?: string | undefined;
  /** Of the records, in the place of the capture's own. */
  readonly interfaceIndex?: number | undefined;
  readonly sweepIntervalMs: number;
  /** After each piece that was read. */
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined;
}

export interface ReplayProgress {
  /** Of the file, those that were read. */
  readonly octets: number;
  readonly totalOctets: number | undefined;
  /** That the file has had so far. */
  readonly frames: number;
}

export interface ReplayCounts {
  /** That the file has, up to its end or to where reading it ended. */
  readonly frames: number;
  /** Of these, those that the filter kept out. */
  readonly filtered: number;
  /** And those of interfaces whose link type cannot be read: how many, by its text. */
  readonly unreadable: Readonly<Record<string, number>>;
  /** And those of interfaces whose link type the filter does not fit, in the same way. */
  readonly unfit: Readonly<Record<string, number>>;
}

/** Times that go to and fro would cost a sweep for each frame. */
const FRAMES_PER_STEP_BACK = 1000;
/** So many steps back cost too little to be counted. */
const FREE_STEPS_BACK = 16;

/** Written anew for each frame. */
type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

export class CaptureFrames {
  readonly #options: CaptureFramesOptions;
  readonly #parser = new CaptureParser();
  /** By link type and byte order; undefined where the filter does not fit. */
  readonly #filters = new Map<number, CaptureFilter | undefined>();
  readonly #link: LinkLayer = { octets: 0, ethertype: 0, interfaceIndex: undefined };
  readonly #unreadable = new Map<number, number>();
  readonly #unfit = new Map<number, number>();
  #octetsRead = 0;
  #frames = 0;
  #filtered = 0;
  /** Read, and not yet metered. */
  #next: CapturedFrame | undefined;
  /** The time of the next sweep; of no frame yet. */
  #dueMs = NaN;
  #sweepNs = 1n;
  #stepsBack = 0;
  #isLeaping = false;
  #isSparse: boolean | undefined;
  #fault: CaptureInputError | undefined;

  constructor(options: CaptureFramesOptions) {
    this.#options = options;
  }

  /** Why the file could not be read to its end. */
  get fault(): CaptureInputError | undefined {
    return this.#fault;
  }

  /** When flows expire that a sweep takes now. */
  get sweepNs(): bigint {
    return this.#sweepNs;
  }

  /** Whether what follows is of a time long before: all flows have to end. */
  get isLeaping(): boolean {
    return this.#isLeaping;
  }

  /** Whether few flows at a time are to be expected, once it has begun. */
  get isSparse(): boolean {
    return this.#isSparse ?? true;
  }

  counts(): ReplayCounts {
    return {
      frames: this.#frames,
      filtered: this.#filtered,
      unreadable: byLinkTypeText(this.#unreadable),
      unfit: byLinkTypeText(this.#unfit),
    };
  }

  /**
   * Reads up to the first frame that can be metered, and no further.
   * @returns its clock
   * @throws CaptureInputError for a file of which nothing can be metered
   */
  async begin(signal: AbortSignal): Promise<CaptureClock> {
    const first = await this.#read(signal);
    this.#next = first;
    if (first !== undefined) return new CaptureClock(first);
    if (this.#fault !== undefined && this.#frames === 0) throw this.#fault;
    const [type] = this.#unreadable.keys();
    if (type !== undefined && this.#filtered === 0) throw this.#unreadableError(type);
    return new CaptureClock({ seconds: 0, nanoseconds: 0 });
  }

  /**
   * Meters frames until one comes after the time of the next sweep; that one is metered after it.
   * @returns whether the file goes on
   */
  async meterUntilSweep(
    replay: FrameReplay,
    clock: CaptureClock,
    signal: AbortSignal,
  ): Promise<boolean> {
    const goesOn = await this.#addUntilSweep(replay, clock, signal);
    replay.flush();
    return goesOn;
  }

  async #addUntilSweep(
    replay: FrameReplay,
    clock: CaptureClock,
    signal: AbortSignal,
  ): Promise<boolean> {
    const frame: Mutable<ReplayFrame> = emptyReplayFrame();
    for (;;) {
      const captured = this.#next ?? this.#nextInMemory() ?? (await this.#read(signal));
      if (captured === undefined) return false;
      this.#next = captured;
      const time = possibleTime(captured);
      if (this.#leaps(clock, time)) return true;
      const timeMs = milliseconds(time);
      if (this.#isDueAnew(timeMs)) this.#dueMs = timeMs + this.#options.sweepIntervalMs;
      if (timeMs >= this.#dueMs) {
        // One sweep before a long pause does what many in it would.
        this.#dueMs = timeMs + this.#options.sweepIntervalMs;
        this.#sweepNs = nanosecondsOf(time);
        return true;
      }
      this.#next = undefined;
      this.#fill(frame, captured);
      frame.seconds = time.seconds;
      frame.nanoseconds = time.nanoseconds;
      replay.add(frame);
      clock.advance(time);
      if (replay.isFull()) {
        // Of this frame: the clock may be ahead of it by a frame that was not of its time.
        this.#sweepNs = nanosecondsOf(time);
        return true;
      }
    }
  }

  /**
   * Whether the next sweep would come too late: there is none yet, or the clock of the capture was set
   * back, or one frame was far ahead. To flows with a later time a sweep does nothing.
   */
  #isDueAnew(timeMs: number): boolean {
    if (Number.isNaN(this.#dueMs)) return true;
    if (timeMs >= this.#dueMs - 2 * this.#options.sweepIntervalMs) return false;
    if (this.#stepsBack > FREE_STEPS_BACK + this.#frames / FRAMES_PER_STEP_BACK) return false;
    this.#stepsBack++;
    return true;
  }

  /** Where the capture's time leaps back, the clock follows after a sweep. */
  #leaps(clock: CaptureClock, time: CaptureTime): boolean {
    if (!clock.isLeapBack(time)) return false;
    this.#isLeaping = !this.#isLeaping;
    if (this.#isLeaping) return true;
    clock.leapTo(time);
    this.#dueMs = NaN;
    return false;
  }

  /** From the link layer that was read last. */
  #fill(frame: Mutable<ReplayFrame>, captured: CapturedFrame): void {
    const link = this.#link;
    frame.bytes = captured.bytes;
    frame.start = captured.start;
    frame.end = captured.end;
    frame.wireOctets = captured.wireOctets;
    frame.wantedOctets = wantedOctets(captured, link);
    frame.interfaceIndex =
      this.#options.interfaceIndex ?? link.interfaceIndex ?? captured.interfaceId;
    frame.linkOctets = link.octets;
    frame.ethertype = link.ethertype;
  }

  /** The next frame that is to be metered; undefined at the file's end, and where it is broken. */
  async #read(signal: AbortSignal): Promise<CapturedFrame | undefined> {
    let frame = this.#nextInMemory();
    while (frame === undefined && (await this.#readPiece(signal))) frame = this.#nextInMemory();
    return frame;
  }

  /** @returns whether there may be more frames */
  async #readPiece(signal: AbortSignal): Promise<boolean> {
    const { input, onProgress } = this.#options;
    if (this.#fault !== undefined || signal.aborted) return false;
    try {
      const piece = await input.read(signal);
      if (piece === undefined) {
        this.#end(signal);
        return false;
      }
      this.#octetsRead += piece.length;
      this.#isSparse ??= isSparse(piece, this.#options.sweepIntervalMs);
      this.#parser.push(piece);
    } catch (error) {
      this.#fault = this.#asFault(error);
      return false;
    }
    const totalOctets = input.octets;
    onProgress?.({ octets: this.#octetsRead, totalOctets, frames: this.#frames });
    return true;
  }

  /** Nothing more comes: of the file, or because it shall not. */
  #end(signal: AbortSignal): void {
    if (!signal.aborted) this.#parser.end();
  }

  /** Of what has been read. */
  #nextInMemory(): CapturedFrame | undefined {
    if (this.#fault !== undefined) return undefined;
    try {
      for (;;) {
        const frame = this.#parser.next();
        if (frame === undefined) return undefined;
        const isWanted = this.#isWanted(frame);
        this.#frames++;
        if (isWanted) return frame;
      }
    } catch (error) {
      this.#fault = this.#asFault(error);
      return undefined;
    }
  }

  #isWanted(frame: CapturedFrame): boolean {
    if (!readLinkLayer(frame, this.#link)) {
      const { linkType } = frame;
      // Of a pcap file all frames have the same one.
      if (this.#parser.format === 'pcap') throw this.#unreadableError(linkType);
      count(this.#unreadable, linkType);
      return false;
    }
    const { filter } = this.#options;
    if (filter === undefined) return true;
    const { bytes, start, end, wireOctets } = frame;
    const opened = this.#filterFor(filter, frame);
    if (opened === undefined) {
      count(this.#unfit, frame.linkType);
      return false;
    }
    if (opened.matches(bytes, start, end, wireOctets)) return true;
    this.#filtered++;
    return false;
  }

  /** @throws FilterError that the expression does not fit the first link type */
  #filterFor(
    expression: string,
    { linkType, isLittleEndian }: CapturedFrame,
  ): CaptureFilter | undefined {
    const key = isLittleEndian ? linkType : -1 - linkType;
    if (this.#filters.has(key)) return this.#filters.get(key);
    let filter: CaptureFilter | undefined;
    try {
      filter = openCaptureFilter(expression, linkType, !isLittleEndian);
    } catch (error) {
      // What was metered before shall not be lost.
      if (!(error instanceof FilterError) || this.#filters.size === 0) throw error;
    }
    this.#filters.set(key, filter);
    return filter;
  }

  #unreadableError(linkType: number): CaptureInputError {
    const reason = `frames of link type ${linkTypeText(linkType)} cannot be metered`;
    return new CaptureInputError(this.#options.input.name, reason);
  }

  /** What is no fault of the file's is thrown on. */
  #asFault(error: unknown): CaptureInputError {
    if (error instanceof CaptureInputError) return error;
    if (error instanceof CaptureFileError) {
      return new CaptureInputError(this.#options.input.name, error);
    }
    throw error;
  }
}

function count(counts: Map<number, number>, linkType: number): void {
  counts.set(linkType, (counts.get(linkType) ?? 0) + 1);
}

function byLinkTypeText(counts: ReadonlyMap<number, number>): Record<string, number> {
  return Object.fromEntries([...counts].map(([type, count]) => [linkTypeText(type), count]));
}

function emptyReplayFrame(): Mutable<ReplayFrame> {
  return {
    bytes: Buffer.alloc(0),
    start: 0,
    end: 0,
    wireOctets: 0,
    wantedOctets: 0,
    seconds: 0,
    nanoseconds: 0,
    interfaceIndex: 0,
    linkOctets: 0,
    ethertype: 0,
  };
}
