// A place in a message, and the end that it must not pass: each read is checked against it.
import { DecodeError } from './decode-error.js';

export class OctetCursor {
  readonly bytes: Buffer;
  readonly end: number;
  at: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** Whether all that is left is zero. */
  get isZero(): boolean {
    for (let i = this.at; i < this.end; i++) if (this.bytes[i] !== 0) return false;
    return true;
  }

  u8(what: string): number {
    return this.bytes.readUInt8(this.#advance(1, what));
  }

  u16(what: string): number {
    return this.bytes.readUInt16BE(this.#advance(2, what));
  }

  u32(what: string): number {
    return this.bytes.readUInt32BE(this.#advance(4, what));
  }

  /** A view on the message, not a copy. */
  octets(count: number, what: string): Buffer {
    const at = this.#advance(count, what);
    return this.bytes.subarray(at, at + count);
  }

  /** A cursor that ends `count` octets from here; this one goes on behind them. */
  part(count: number, what: string): OctetCursor {
    const at = this.#advance(count, what);
    return new OctetCursor(this.bytes, at, at + count);
  }

  #advance(count: number, what: string): number {
    const { at } = this;
    if (count > this.end - at) {
      const reason = `it takes ${count} octets, and ${this.end - at} are left`;
      throw new DecodeError('truncated', at, `read ${what}`, reason);
    }
    this.at = at + count;
    return at;
  }
}
