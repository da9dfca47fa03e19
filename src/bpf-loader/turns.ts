// One after the other, in the order of asking.

export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when those who asked before are done; the caller calls what it gets when it is. */
  async next(): Promise<() => void> {
    const before = this.#last;
    let done = (): void => undefined;
    this.#last = new Promise((resolve) => {
      done = resolve;
    });
    await before;
    return done;
  }
}
