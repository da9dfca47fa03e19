// pcapng (draft-ietf-opsawg-pcapng): sections in either byte order, several interfaces.
import {
  DamagedCaptureError,
  emptyFrame,
  MAX_FRAME_OCTETS,
  type CaptureFormat,
} from './captured-frame.js';
import { InterfaceClock } from './interface-clock.js';

export const SECTION_HEADER = 0x0a0d0d0a;

const INTERFACE_DESCRIPTION = 1;
const PACKET = 2; // obsolete
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const BLOCK_HEADER_OCTETS = 8;
const MIN_BLOCK_OCTETS = 12;
/** Wireshark's limit: larger is damage. */
const MAX_BLOCK_OCTETS = 16 * 2 ** 20;

/** Of a section: more are damage, and each takes memory. */
const MAX_INTERFACES = 65_536;

/** Of the block, without its own header. */
const PACKET_HEADER_OCTETS = 20;

const END_OF_OPTIONS = 0;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;
const DEFAULT_RESOLUTION = 6;

interface CaptureInterface {
  readonly linkType: number;
  /** Octets at which frames were cut; 0: nowhere. */
  readonly snapshotOctets: number;
  readonly clock: InterfaceClock;
}

export class PcapngFormat implements CaptureFormat {
  readonly name = 'pcapng';
  readonly frame = emptyFrame();
  hasFrame = false;
  #isLittleEndian = true;
  #interfaces: CaptureInterface[] = [];

  take(bytes: Buffer, at: number): number {
    this.hasFrame = false;
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
    const end = at + octets - 4;
    const repeated = this.#u32(bytes, end);
    if (repeated !== octets) {
      throw new DamagedCaptureError(`a block of ${octets} octets that ends as one of ${repeated}`);
    }
    if (isSection) this.#interfaces = [];
    else this.#takeBlock(this.#u32(bytes, at), bytes, at + BLOCK_HEADER_OCTETS, end);
    return octets;
  }

  /** @param at behind the block's header */
  #takeBlock(type: number, bytes: Buffer, at: number, end: number): void {
    switch (type) {
      case INTERFACE_DESCRIPTION:
        this.#addInterface(bytes.subarray(at, end));
        break;
      case ENHANCED_PACKET:
      case PACKET:
        this.#takePacket(type, bytes, at, end);
        break;
      case SIMPLE_PACKET:
        this.#takeSimplePacket(bytes, at, end);
        break;
    }
  }

  #readByteOrder(bytes: Buffer, at: number): void {
    this.#isLittleEndian = bytes.readUInt32LE(at) === BYTE_ORDER_MAGIC;
    if (!this.#isLittleEndian && bytes.readUInt32BE(at) !== BYTE_ORDER_MAGIC) {
      throw new DamagedCaptureError('a section whose byte order is not known');
    }
    this.frame.isLittleEndian = this.#isLittleEndian;
  }

  #addInterface(block: Buffer): void {
    if (block.length < 8) throw new DamagedCaptureError('an interface without a description');
    if (this.#interfaces.length === MAX_INTERFACES) {
      throw new DamagedCaptureError(`a section of more than ${MAX_INTERFACES} interfaces`);
    }
    const options = this.#options(block, 8);
    const offset = options.get(IF_TSOFFSET);
    this.#interfaces.push({
      linkType: this.#u16(block, 0),
      snapshotOctets: this.#u32(block, 4),
      clock: new InterfaceClock(
        options.get(IF_TSRESOL)?.at(0) ?? DEFAULT_RESOLUTION,
        offset?.length === 8 ? this.#i64(offset) : 0n,
      ),
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

  #takePacket(type: number, bytes: Buffer, at: number, end: number): void {
    requireOctets(end - at, PACKET_HEADER_OCTETS);
    const id = type === PACKET ? this.#u16(bytes, at) : this.#u32(bytes, at);
    const from = this.#interface(id);
    this.#setFrame(from, id, bytes, at + PACKET_HEADER_OCTETS, end, {
      captured: this.#u32(bytes, at + 12),
      wire: this.#u32(bytes, at + 16),
    });
    from.clock.read(this.#u32(bytes, at + 4), this.#u32(bytes, at + 8), this.frame);
  }

  /** It has no time: the one before is the nearest. */
  #takeSimplePacket(bytes: Buffer, at: number, end: number): void {
    requireOctets(end - at, 4);
    const from = this.#interface(0);
    const wire = this.#u32(bytes, at);
    const limit = from.snapshotOctets;
    const captured = Math.min(wire, limit === 0 ? wire : limit, end - at - 4);
    this.#setFrame(from, 0, bytes, at + 4, end, { captured, wire });
  }

  #interface(id: number): CaptureInterface {
    const from = this.#interfaces[id];
    if (from !== undefined) return from;
    throw new DamagedCaptureError(`a packet of interface ${id}, which is not described`);
  }

  #setFrame(
    from: CaptureInterface,
    interfaceId: number,
    bytes: Buffer,
    start: number,
    end: number,
    { captured, wire }: { readonly captured: number; readonly wire: number },
  ): void {
    if (captured > MAX_FRAME_OCTETS || captured > end - start) {
      const room = `where there are ${end - start}`;
      throw new DamagedCaptureError(`a packet of ${captured} octets ${room}`);
    }
    const { frame } = this;
    frame.bytes = bytes;
    frame.start = start;
    frame.end = start + captured;
    frame.wireOctets = Math.max(captured, wire);
    frame.linkType = from.linkType;
    frame.interfaceId = interfaceId;
    this.hasFrame = true;
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

function requireOctets(octets: number, least: number): void {
  if (octets < least) throw new DamagedCaptureError(`a packet's block of ${octets} octets`);
}
