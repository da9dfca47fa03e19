// A frame as a capture file has it.

export interface CapturedFrame {
  /** Holds the frame's octets from `start` up to `end`; valid until the next frame. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** The frame on the wire, of which a capture may hold only the beginning. */
  readonly wireOctets: number;
  /** When, since 1970 (UTC). */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** LINKTYPE_ number: what the frame begins with. */
  readonly linkType: number;
  /** Counted from 0; always 0 in pcap. */
  readonly interfaceId: number;
  /** What the file's own numbers are written in, and with some link layers the frame's first ones. */
  readonly isLittleEndian: boolean;
}

/** Fields are overwritten: there are millions of them. */
export type MutableFrame = { -readonly [Field in keyof CapturedFrame]: CapturedFrame[Field] };

export function emptyFrame(): MutableFrame {
  return {
    bytes: Buffer.alloc(0),
    start: 0,
    end: 0,
    wireOctets: 0,
    seconds: 0,
    nanoseconds: 0,
    linkType: 0,
    interfaceId: 0,
    isLittleEndian: true,
  };
}

/** Larger is no packet, but damage: Wireshark's limit for most link layers. */
export const MAX_FRAME_OCTETS = 262_144;

/** One way of writing packets into files. */
export interface CaptureFormat {
  readonly name: 'pcap' | 'pcapng';
  /**
   * Takes the next item of the file.
   * @returns octets that it has; 0 when it is not complete in `bytes`
   * @throws DamagedCaptureError
   */
  readonly take: (bytes: Buffer, at: number) => number;
  /** Whether what was taken last is a frame. */
  readonly hasFrame: boolean;
  readonly frame: CapturedFrame;
}

/** What is there is not what the format says. */
export class DamagedCaptureError extends Error {}
