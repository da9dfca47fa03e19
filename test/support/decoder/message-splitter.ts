// IPFIX over TCP and in files (RFC 7011 §10.4, RFC 5655): messages one behind the other, each with
// its length in its header.
import { DecodeError } from './decode-error.js';

const PREFIX_OCTETS = 4;
const HEADER_OCTETS = 16;

/** Keeps at most one message, of at most 65,535 octets. */
export class MessageSplitter {
  readonly #prefix = Buffer.alloc(PREFIX_OCTETS);
  /** The message at hand as soon as its length is known. */
  #message: Buffer | undefined;
  /** Octets of it that are there. */
  #octets = 0;

  /**
   * Gives the messages that end in this chunk, as copies. To be iterated to its end.
   * @throws DecodeError where no message can start; nothing in the stream can be found after it
   */
  *push(chunk: Buffer): Generator<Buffer, void> {
    for (let at = 0; at < chunk.length;) {
      const target = this.#message ?? this.#prefix;
      const copied = chunk.copy(target, this.#octets, at);
      this.#octets += copied;
      at += copied;
      if (this.#octets < target.length) return;
      if (this.#message === undefined) {
        this.#message = startMessage(this.#prefix);
      } else {
        const message = this.#message;
        this.#message = undefined;
        this.#octets = 0;
        yield message;
      }
    }
  }

  /** The stream has ended. @throws DecodeError within a message */
  end(): void {
    if (this.#octets === 0) return;
    const reason = `the stream ended behind ${this.#octets} octets of it`;
    throw new DecodeError('truncated', this.#octets, 'read a message', reason);
  }
}

function startMessage(prefix: Buffer): Buffer {
  const version = prefix.readUInt16BE(0);
  if (version !== 10) {
    const reason = `${version} is not IPFIX's 10`;
    throw new DecodeError('unknown-version', 0, 'read the version', reason);
  }
  const octets = prefix.readUInt16BE(2);
  if (octets < HEADER_OCTETS) {
    const reason = `${octets} octets, less than the header (RFC 7011 §3.1)`;
    throw new DecodeError('bad-length', 2, 'read the message length', reason);
  }
  const message = Buffer.alloc(octets);
  prefix.copy(message);
  return message;
}

/** The messages of a socket or a file, as they come. @throws DecodeError, and what the source throws */
export async function* splitMessages(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
): AsyncGenerator<Buffer, void> {
  const splitter = new MessageSplitter();
  for await (const chunk of chunks) yield* splitter.push(chunk);
  splitter.end();
}
