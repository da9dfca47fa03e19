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

export class CaptureParser {
  readonly #onFrame: (frame: CapturedFrame) => void;
  #format: CaptureFormat | undefined;
  /** What was not complete. */
  #rest: Buffer = Buffer.alloc(0);
  /** Where `rest` begins. */
  #place = 0;

  /** @param onFrame the frame is overwritten when it returns */
  constructor(onFrame: (frame: CapturedFrame) => void) {
    this.#onFrame = onFrame;
  }

  /** Octets of the file that have been taken, whole items. */
  get place(): number {
    return this.#place;
  }

  /** @throws CaptureFileError; then it takes nothing more */
  push(piece: Buffer): void {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    const format = this.#formatOf(bytes);
    let at = 0;
    if (format !== undefined) {
      const onFrame = (): void => {
        this.#onFrame(format.frame);
      };
      for (;;) {
        const taken = this.#take(format, bytes, at, onFrame);
        if (taken === 0) break;
        at += taken;
        this.#place += taken;
      }
    }
    this.#rest = bytes.subarray(at);
  }

  /** The file has no more. @throws CaptureFileError */
  end(): void {
    const octets = this.#rest.length;
    if (this.#format === undefined) {
      const reason = octets === 0 ? 'it is empty' : `it has ${octets} octets only`;
      throw new CaptureFileError('NOT_A_CAPTURE', 0, reason);
    }
    if (octets > 0) {
      const reason = `the file ends in the middle of an item, after ${octets} octets of it`;
      throw new CaptureFileError('TRUNCATED', this.#place, reason);
    }
  }

  #take(format: CaptureFormat, bytes: Buffer, at: number, onFrame: () => void): number {
    try {
      return format.take(bytes, at, onFrame);
    } catch (error) {
      if (!(error instanceof DamagedCaptureError)) throw error;
      throw new CaptureFileError('DAMAGED', this.#place, error.message);
    }
  }

  #formatOf(bytes: Buffer): CaptureFormat | undefined {
    if (this.#format !== undefined || bytes.length < MAGIC_OCTETS) return this.#format;
    const magic = bytes.readUInt32LE();
    this.#format = magic === SECTION_HEADER ? new PcapngFormat() : pcapFormat(magic);
    if (this.#format === undefined) {
      const reason = `it begins with ${bytes.toString('hex', 0, MAGIC_OCTETS)}, as neither pcap nor pcapng does`;
      throw new CaptureFileError('NOT_A_CAPTURE', 0, reason);
    }
    return this.#format;
  }
}
