// The octets of messages that are being written, and how others come among them.

export interface MessageOctets {
  readonly bytes: Buffer;
  /** The same octets, for numbers. */
  readonly view: DataView;
}

/** Returns where the copy ends. Not for octets that overlap. */
export function copyWords(
  source: DataView,
  from: number,
  octets: number,
  target: DataView,
  at: number,
): number {
  let k = 0;
  for (; k + 4 <= octets; k += 4) target.setUint32(at + k, source.getUint32(from + k));
  for (; k < octets; k++) target.setUint8(at + k, source.getUint8(from + k));
  return at + octets;
}
