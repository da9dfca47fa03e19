// Takes a capture file in pieces, as they are read, and gives the frames in it.
import { DamagedCaptureError, type CapturedFrame, type CaptureFormat } from './captured-frame.js';
import { pcapFormat } from './pcap.js';
import { PcapngFormat, SECTION_HEADER } from './pcapng.js';

export type CaptureFault = 'NOT_A_CAPTURE' | 'TRUNCATED' | 'DAMAGED';

/** What is before the place has been read. */
export class CaptureFileError extends Error {
  readonly code: CaptureFault;
  /** Octets into the file. */
  readonly place: number;

  constructor(code: CaptureFault, place: number, reason: string) {
    super(reason);
    this.name = 'CaptureFileError';
    this.code = code;
    this.place = place;
  }
}

const MAGIC_OCTETS = 4;
const NOTHING = Buffer.alloc(0);

export class CaptureParser {
  #format: CaptureFormat | undefined;
  #bytes: Buffer = NOTHING;
  /** Begins with `bytes`, where they were put together of pieces; pieces that follow have room in it. */
  #joined: Buffer = NOTHING;
  /** What is before it in `bytes` has been taken. */
  #at = 0;
  #place = 0;

  /** Octets of the file that have been taken, whole items. */
  get place(): number {
    return this.#place;
  }

  /** Undefined while nothing of it is known. */
  get format(): CaptureFormat['name'] | undefined {
    return this.#format?.name;
  }

  /** The file goes on with this, which is kept until next() has given all that is in it. */
  push(piece: Buffer): void {
    const octets = this.#bytes.length;
    if (this.#at === octets) {
      this.#joined = NOTHING;
      this.#bytes = piece;
      this.#at = 0;
    } else if (octets + piece.length <= this.#joined.length) {
      piece.copy(this.#joined, octets);
      this.#bytes = this.#joined.subarray(0, octets + piece.length);
    } else this.#join(this.#bytes.subarray(this.#at), piece);
  }

  #join(rest: Buffer, piece: Buffer): void {
    const octets = rest.length + piece.length;
    // Of an item of many pieces the first ones are not copied again with each that comes.
    const isLong = rest.length >= piece.length;
    this.#joined = Buffer.allocUnsafe(isLong ? 2 * octets : octets);
    rest.copy(this.#joined);
    piece.copy(this.#joined, rest.length);
    this.#bytes = this.#joined.subarray(0, octets);
    this.#at = 0;
  }

  /**
   * @returns the frame, which the next call overwrites; undefined when the file has to go on first
   * @throws CaptureFileError, and again with each further call
   */
  next(): CapturedFrame | undefined {
    const format = (this.#format ??= this.#readFormat());
    if (format === undefined) return undefined;
    for (;;) {
      const taken = this.#take(format);
      if (taken === 0) return undefined;
      this.#at += taken;
      this.#place += taken;
      if (format.hasFrame) return format.frame;
    }
  }

  /** The file has no more. @throws CaptureFileError */
  end(): void {
    const octets = this.#bytes.length - this.#at;
    if (this.#format === undefined) {
      const reason = octets === 0 ? 'it is empty' : `it has ${octets} octets only`;
      throw new CaptureFileError('NOT_A_CAPTURE', 0, reason);
    }
    if (octets > 0 || this.#place === 0) {
      const reason = `the file ends in the middle of an item, after ${octets} octets of it`;
      throw new CaptureFileError('TRUNCATED', this.#place, reason);
    }
  }

  #take(format: CaptureFormat): number {
    try {
      return format.take(this.#bytes, this.#at);
    } catch (error) {
      if (!(error instanceof DamagedCaptureError)) throw error;
      throw new CaptureFileError('DAMAGED', this.#place, error.message);
    }
  }

  #readFormat(): CaptureFormat | undefined {
    const bytes = this.#bytes;
    if (bytes.length < MAGIC_OCTETS) return undefined;
    const magic = bytes.readUInt32LE();
    const format = magic === SECTION_HEADER ? new PcapngFormat() : pcapFormat(magic);
    if (format !== undefined) return format;
    const reason = `it begins with ${bytes.toString('hex', 0, MAGIC_OCTETS)}, as neither pcap nor pcapng does`;
    throw new CaptureFileError('NOT_A_CAPTURE', 0, reason);
  }
}
