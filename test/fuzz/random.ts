// Numbers that look random and come again with the same seed.

/** sfc32, by Chris Doty-Humphrey: small, fast, and good enough to find defects. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param parts numbers and texts, of which each gives other numbers */
  constructor(...parts: readonly (number | string)[]) {
    const hash = (start: number): number => {
      let value = start;
      for (const character of parts.join('/')) {
        value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193);
      }
      return value | 0;
    };
    this.#a = hash(0x811c9dc5);
    this.#b = hash(0x9e3779b9);
    this.#c = hash(0x85ebca6b);
    for (let i = 0; i < 12; i++) this.word();
  }

  /** 32 bits. */
  word(): number {
    const value = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + value;
    return value >>> 0;
  }

  /** From 0, and less than `count`. */
  below(count: number): number {
    return Math.floor((this.word() / 2 ** 32) * count);
  }

  /** Both can come. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True once in `count`. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<Type>(values: readonly Type[]): Type {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new RangeError('nothing to pick from');
    return value;
  }

  octets(count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    for (let i = 0; i < count; i++) bytes[i] = this.below(256);
    return bytes;
  }
}
