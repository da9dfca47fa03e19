// Writes capture files of every kind, from the specifications alone.

export interface WrittenFrame {
  readonly bytes: Buffer;
  readonly seconds: number;
  readonly nanoseconds: number;
  /** On the wire; default: as many as there are. */
  readonly wireOctets?: number;
  /** pcapng: whose, counted from 0. */
  readonly interfaceId?: number;
}

export interface PcapOptions {
  readonly linkType?: number;
  readonly isBigEndian?: boolean;
  readonly isNanoseconds?: boolean;
}

type Writer = (value: number, octets: 2 | 4) => Buffer;

function writer(isBigEndian: boolean): Writer {
  return (value, octets) => {
    const bytes = Buffer.alloc(octets);
    if (isBigEndian) bytes.writeUIntBE(value, 0, octets);
    else bytes.writeUIntLE(value, 0, octets);
    return bytes;
  };
}

export function pcapHeader(options: PcapOptions = {}): Buffer {
  const { linkType = 1, isBigEndian = false, isNanoseconds = false } = options;
  const number = writer(isBigEndian);
  return Buffer.concat([
    number(isNanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, 4),
    ...[number(2, 2), number(4, 2), number(0, 4), number(0, 4), number(262_144, 4)],
    number(linkType, 4),
  ]);
}

export function pcapFile(frames: readonly WrittenFrame[], options: PcapOptions = {}): Buffer {
  const number = writer(options.isBigEndian ?? false);
  const unitNs = options.isNanoseconds === true ? 1 : 1000;
  const records = frames.map(({ bytes, seconds, nanoseconds, wireOctets }) =>
    Buffer.concat([
      ...[number(seconds, 4), number(Math.floor(nanoseconds / unitNs), 4)],
      ...[number(bytes.length, 4), number(wireOctets ?? bytes.length, 4), bytes],
    ]),
  );
  return Buffer.concat([pcapHeader(options), ...records]);
}

/** Blocks of pcapng, in one byte order. */
export function pcapngBlocks(isBigEndian = false) {
  const number = writer(isBigEndian);
  const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  const block = (type: number, body: Buffer): Buffer => {
    const octets = number(12 + padded(body).length, 4);
    return Buffer.concat([number(type, 4), octets, padded(body), octets]);
  };
  const option = (code: number, value: Buffer): Buffer =>
    Buffer.concat([number(code, 2), number(value.length, 2), padded(value)]);
  /** In ticks of the interface's clock. */
  const packet = (type: number, first: Buffer, ticks: bigint, bytes: Buffer, wire?: number) =>
    block(
      type,
      Buffer.concat([
        first,
        number(Number(ticks >> 32n), 4),
        number(Number(ticks & 0xffffffffn), 4),
        ...[number(bytes.length, 4), number(wire ?? bytes.length, 4), padded(bytes)],
      ]),
    );
  return {
    block,
    option,
    endOfOptions: option(0, Buffer.alloc(0)),
    section: (options: Buffer = Buffer.alloc(0)) =>
      block(
        0x0a0d0d0a,
        Buffer.concat([
          ...[number(0x1a2b3c4d, 4), number(1, 2), number(0, 2)],
          ...[Buffer.alloc(8, 0xff), options],
        ]),
      ),
    /** @param options such as tsresol() */
    interface: (linkType: number, options: Buffer = Buffer.alloc(0), snapshotOctets = 0) =>
      block(
        1,
        Buffer.concat([number(linkType, 2), number(0, 2), number(snapshotOctets, 4), options]),
      ),
    tsresol: (value: number) => option(9, Buffer.from([value])),
    tsoffset: (seconds: bigint) => {
      const value = Buffer.alloc(8);
      if (isBigEndian) value.writeBigInt64BE(seconds);
      else value.writeBigInt64LE(seconds);
      return option(14, value);
    },
    enhancedPacket: (id: number, ticks: bigint, bytes: Buffer, wire?: number) =>
      packet(6, number(id, 4), ticks, bytes, wire),
    /** Obsolete. */
    packet: (id: number, ticks: bigint, bytes: Buffer, wire?: number) =>
      packet(2, Buffer.concat([number(id, 2), number(0, 2)]), ticks, bytes, wire),
    simplePacket: (bytes: Buffer, wire = bytes.length) =>
      block(3, Buffer.concat([number(wire, 4), bytes])),
  };
}

/** A section with one interface for each link type, its clock in nanoseconds. */
export function pcapngFile(
  frames: readonly WrittenFrame[],
  linkTypes: readonly number[] = [1],
  isBigEndian = false,
): Buffer {
  const blocks = pcapngBlocks(isBigEndian);
  const nanoseconds = 9;
  return Buffer.concat([
    blocks.section(),
    ...linkTypes.map((type) => blocks.interface(type, blocks.tsresol(nanoseconds))),
    ...frames.map(({ bytes, seconds, nanoseconds, wireOctets, interfaceId }) => {
      const ticks = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
      return blocks.enhancedPacket(interfaceId ?? 0, ticks, bytes, wireOctets);
    }),
  ]);
}
