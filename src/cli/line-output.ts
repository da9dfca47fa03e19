// Lines to a stream that may be slow, or go away: a terminal, a pipe into head.
import type { Writable } from 'node:stream';

export class LineOutput {
  readonly #stream: Writable;
  #isClosed = false;

  /** @param onClosed called once, when nobody reads any more or writing failed */
  constructor(stream: Writable, onClosed: () => void) {
    this.#stream = stream;
    stream.on('error', () => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      onClosed();
    });
  }

  /** What is written goes nowhere. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Resolves when the stream takes more; at once when it is closed. */
  async write(lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await this.writeText(`${lines.join('\n')}\n`);
  }

  /** The same of a text that has its ends of lines. */
  async writeText(text: string): Promise<void> {
    if (this.#isClosed) return;
    const stream = this.#stream;
    if (stream.write(text)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        for (const event of EVENTS) stream.off(event, done);
        resolve();
      };
      for (const event of EVENTS) stream.on(event, done);
    });
  }
}

const EVENTS = ['drain', 'error', 'close'] as const;
