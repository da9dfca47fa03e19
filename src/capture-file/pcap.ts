// pcap as libpcap writes it (draft-ietf-opsawg-pcap), in either byte order, in micro- or
// nanoseconds.
import {
  DamagedCaptureError,
  emptyFrame,
  MAX_FRAME_OCTETS,
  type CaptureFormat,
} from './captured-frame.js';

const HEADER_OCTETS = 24;
const RECORD_HEADER_OCTETS = 16;
/** The rest of the field says how long a frame check sequence is. */
const LINK_TYPE_BITS = 0xffff;

interface PcapVariant {
  readonly isLittleEndian: boolean;
  /** Of a fraction of a second. */
  readonly unitNs: number;
  /** Before the frame. */
  readonly recordHeaderOctets: number;
}

/** By the first four octets, read in little endian. */
const VARIANTS: ReadonlyMap<number, PcapVariant> = new Map(
  [true, false].flatMap((isLittleEndian) =>
    (
      [
        [0xa1b2c3d4, 1000, RECORD_HEADER_OCTETS],
        [0xa1b23c4d, 1, RECORD_HEADER_OCTETS],
        // Of a libpcap with patches of Kuznetsov's, in the last century.
        [0xa1b2cd34, 1000, RECORD_HEADER_OCTETS + 8],
      ] as const
    ).map(([magic, unitNs, recordHeaderOctets]) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(magic);
      const key = isLittleEndian ? magic : bytes.readUInt32LE();
      return [key, { isLittleEndian, unitNs, recordHeaderOctets }] as const;
    }),
  ),
);

/** @param magic the file's first four octets, read in little endian; undefined for no pcap file */
export function pcapFormat(magic: number): CaptureFormat | undefined {
  const variant = VARIANTS.get(magic);
  return variant === undefined ? undefined : new PcapFormat(variant);
}

class PcapFormat implements CaptureFormat {
  readonly name = 'pcap';
  readonly frame = emptyFrame();
  hasFrame = false;
  readonly #variant: PcapVariant;
  #hasHeader = false;

  constructor(variant: PcapVariant) {
    this.#variant = variant;
    this.frame.isLittleEndian = variant.isLittleEndian;
  }

  take(bytes: Buffer, at: number): number {
    this.hasFrame = false;
    if (!this.#hasHeader) return this.#takeHeader(bytes, at);
    const { recordHeaderOctets, unitNs } = this.#variant;
    if (bytes.length - at < recordHeaderOctets) return 0;
    const captured = this.#u32(bytes, at + 8);
    if (captured > MAX_FRAME_OCTETS) {
      throw new DamagedCaptureError(`a packet of ${captured} octets`);
    }
    const start = at + recordHeaderOctets;
    if (bytes.length - start < captured) return 0;
    const { frame } = this;
    frame.bytes = bytes;
    frame.start = start;
    frame.end = start + captured;
    frame.wireOctets = Math.max(captured, this.#u32(bytes, at + 12));
    frame.seconds = this.#u32(bytes, at);
    frame.nanoseconds = this.#u32(bytes, at + 4) * unitNs;
    this.hasFrame = true;
    return recordHeaderOctets + captured;
  }

  #takeHeader(bytes: Buffer, at: number): number {
    if (bytes.length - at < HEADER_OCTETS) return 0;
    this.frame.linkType = this.#u32(bytes, at + 20) & LINK_TYPE_BITS;
    this.#hasHeader = true;
    return HEADER_OCTETS;
  }

  #u32(bytes: Buffer, at: number): number {
    return this.#variant.isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }
}
