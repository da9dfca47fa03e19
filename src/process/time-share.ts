// Keeps work that nobody waits for, but that stops everything else while it runs, to a share of the time.

export interface TimeShareOptions {
  /** Of the time that passes, at most. */
  readonly share: number;
  /** What can be saved up for a burst. */
  readonly maxCreditMs: number;
  readonly nowMs?: () => number;
}

export class TimeShare {
  readonly #options: TimeShareOptions;
  readonly #nowMs: () => number;
  #creditMs: number;
  #lastMs: number;

  constructor(options: TimeShareOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#creditMs = options.maxCreditMs;
    this.#lastMs = this.#nowMs();
  }

  /** @returns undefined, and does nothing, when the share is used up */
  run<Result>(work: () => Result): Result | undefined {
    const before = this.#nowMs();
    const { share, maxCreditMs } = this.#options;
    this.#creditMs = Math.min(maxCreditMs, this.#creditMs + (before - this.#lastMs) * share);
    this.#lastMs = before;
    if (this.#creditMs <= 0) return undefined;
    try {
      return work();
    } finally {
      this.#creditMs -= this.#nowMs() - before;
    }
  }
}
