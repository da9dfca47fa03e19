// pcapng (draft-ietf-opsawg-pcapng): sections in either byte order, several interfaces.
import {
  DamagedCaptureError,
  emptyFrame,
  MAX_FRAME_OCTETS,
  type CaptureFormat,
} from './captured-frame.js';

export const SECTION_HEADER = 0x0a0d0d0a;

const INTERFACE_DESCRIPTION = 1;
const PACKET = 2; // obsolete
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const BLOCK_HEADER_OCTETS = 8;
const MIN_BLOCK_OCTETS = 12;
/** A packet with all that can be said of it. */
const MAX_BLOCK_OCTETS = 2 * MAX_FRAME_OCTETS;

const END_OF_OPTIONS = 0;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;
const DEFAULT_RESOLUTION = 6;

interface CaptureInterface {
  readonly linkType: number;
  /** Octets at which frames were cut; 0: nowhere. */
  readonly snapshotOctets: number;
  /** Of its clock, in a second. */
  readonly ticks: bigint;
  /** Seconds that are added. */
  readonly offset: bigint;
}

export class PcapngFormat implements CaptureFormat {
  readonly frame = emptyFrame();
  #isLittleEndian = true;
  #interfaces: CaptureInterface[] = [];

  take(bytes: Buffer, at: number, onFrame: () => void): number {
    const available = bytes.length - at;
    if (available < MIN_BLOCK_OCTETS) return 0;
    // The same in either byte order.
    const isSection = bytes.readUInt32LE(at) === SECTION_HEADER;
    if (isSection) this.#readByteOrder(bytes, at + BLOCK_HEADER_OCTETS);
    const octets = this.#u32(bytes, at + 4);
    if (octets < MIN_BLOCK_OCTETS || octets % 4 !== 0 || octets > MAX_BLOCK_OCTETS) {
      throw new DamagedCaptureError(`a block of ${octets} octets`);
    }
    if (available < octets) return 0;
    const repeated = this.#u32(bytes, at + octets - 4);
    if (repeated !== octets) {
      throw new DamagedCaptureError(`a block of ${octets} octets that ends as one of ${repeated}`);
    }
    const type = this.#u32(bytes, at);
    const block = bytes.subarray(at + BLOCK_HEADER_OCTETS, at + octets - 4);
    if (isSection) this.#interfaces = [];
    else if (type === INTERFACE_DESCRIPTION) this.#addInterface(block);
    else if (this.#readPacket(type, block)) onFrame();
    return octets;
  }

  #readByteOrder(bytes: Buffer, at: number): void {
    this.#isLittleEndian = bytes.readUInt32LE(at) === BYTE_ORDER_MAGIC;
    if (!this.#isLittleEndian && bytes.readUInt32BE(at) !== BYTE_ORDER_MAGIC) {
      throw new DamagedCaptureError('a section whose byte order is not known');
    }
  }

  #addInterface(block: Buffer): void {
    if (block.length < 8) throw new DamagedCaptureError('an interface without a description');
    const options = this.#options(block, 8);
    const resolution = options.get(IF_TSRESOL)?.at(0) ?? DEFAULT_RESOLUTION;
    const power = BigInt(resolution & 0x7f);
    const offset = options.get(IF_TSOFFSET);
    this.#interfaces.push({
      linkType: this.#u16(block, 0),
      snapshotOctets: this.#u32(block, 4),
      ticks: resolution & 0x80 ? 1n << power : 10n ** power,
      offset: offset?.length === 8 ? this.#i64(offset) : 0n,
    });
  }

  #options(block: Buffer, start: number): ReadonlyMap<number, Buffer> {
    const options = new Map<number, Buffer>();
    for (let at = start; at + 4 <= block.length;) {
      const [code, octets] = [this.#u16(block, at), this.#u16(block, at + 2)];
      if (code === END_OF_OPTIONS) break;
      options.set(code, block.subarray(at + 4, at + 4 + octets));
      at += 4 + octets + (-octets & 3);
    }
    return options;
  }

  /** @returns whether it is a packet */
  #readPacket(type: number, block: Buffer): boolean {
    switch (type) {
      case ENHANCED_PACKET:
        this.#requireOctets(block, 20);
        this.#setFrame(block, 20, this.#u32(block, 0), {
          captured: this.#u32(block, 12),
          wire: this.#u32(block, 16),
        });
        this.#setTime(block, 4);
        return true;
      case PACKET:
        this.#requireOctets(block, 20);
        this.#setFrame(block, 20, this.#u16(block, 0), {
          captured: this.#u32(block, 12),
          wire: this.#u32(block, 16),
        });
        this.#setTime(block, 4);
        return true;
      case SIMPLE_PACKET: {
        this.#requireOctets(block, 4);
        const wire = this.#u32(block, 0);
        const limit = this.#interfaces[0]?.snapshotOctets ?? 0;
        const captured = Math.min(wire, limit === 0 ? wire : limit, block.length - 4);
        this.#setFrame(block, 4, 0, { captured, wire });
        // It has no time: the one before is the nearest.
        return true;
      }
      default:
        return false;
    }
  }

  #requireOctets(block: Buffer, octets: number): void {
    if (block.length < octets) {
      throw new DamagedCaptureError(`a packet's block of ${block.length} octets`);
    }
  }

  #setFrame(
    block: Buffer,
    start: number,
    interfaceId: number,
    { captured, wire }: { readonly captured: number; readonly wire: number },
  ): void {
    const from = this.#interfaces[interfaceId];
    if (from === undefined) {
      throw new DamagedCaptureError(`a packet of interface ${interfaceId}, which is not described`);
    }
    if (captured > MAX_FRAME_OCTETS || start + captured > block.length) {
      throw new DamagedCaptureError(`a packet of ${captured} octets in a block of ${block.length}`);
    }
    const { frame } = this;
    frame.bytes = block;
    frame.start = start;
    frame.end = start + captured;
    frame.wireOctets = Math.max(captured, wire);
    frame.linkType = from.linkType;
    frame.interfaceId = interfaceId;
  }

  /** After #setFrame. */
  #setTime(block: Buffer, at: number): void {
    const from = this.#interfaces[this.frame.interfaceId];
    if (from === undefined) return;
    const { ticks, offset } = from;
    const high = this.#u32(block, at);
    const low = this.#u32(block, at + 4);
    const { frame } = this;
    if (ticks === 1_000_000n || ticks === 1_000_000_000n) {
      const each = Number(ticks);
      // Both halves divided by themselves: whole numbers below 2^53.
      const rest = (high % each) * 2 ** 32 + low;
      if (Number.isSafeInteger(rest)) {
        frame.seconds =
          Math.floor(high / each) * 2 ** 32 + Math.floor(rest / each) + Number(offset);
        frame.nanoseconds = (rest % each) * (1e9 / each);
        return;
      }
    }
    const time = (BigInt(high) << 32n) | BigInt(low);
    frame.seconds = Number(time / ticks + offset);
    frame.nanoseconds = Number(((time % ticks) * 1_000_000_000n) / ticks);
  }

  #u16(bytes: Buffer, at: number): number {
    return this.#isLittleEndian ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  #u32(bytes: Buffer, at: number): number {
    return this.#isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  #i64(bytes: Buffer): bigint {
    return this.#isLittleEndian ? bytes.readBigInt64LE() : bytes.readBigInt64BE();
  }
}
