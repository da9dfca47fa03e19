// Where a capture file comes from: a file, or standard input. Read in pieces.
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { CaptureInputError } from './capture-input-error.js';

export interface CaptureInput {
  /** As a message names it. */
  readonly name: string;
  /** Of the whole file; undefined where its end is not known: a pipe. */
  readonly octets: number | undefined;
  /** @returns undefined at the end, or when the signal is aborted @throws CaptureInputError */
  readonly read: (signal: AbortSignal) => Promise<Buffer | undefined>;
  readonly close: () => Promise<void>;
}

export const STANDARD_INPUT = '-';
const PIECE_OCTETS = 512 * 1024;

/** @throws CaptureInputError */
export async function openCaptureInput(
  path: string,
  standardInput: Readable = process.stdin,
): Promise<CaptureInput> {
  return path === STANDARD_INPUT ? readStream(standardInput) : readFileInPieces(path);
}

async function readFileInPieces(path: string): Promise<CaptureInput> {
  const fail = (error: unknown): CaptureInputError => new CaptureInputError(path, error);
  let file: FileHandle;
  let octets: number | undefined;
  try {
    file = await open(path);
  } catch (error) {
    throw fail(error);
  }
  try {
    const status = await file.stat();
    if (status.isFile()) octets = status.size;
  } catch (error) {
    await file.close();
    throw fail(error);
  }
  const pieces = readAhead(file);
  return {
    name: path,
    octets,
    read: async (signal) => {
      try {
        return await unlessAborted(pieces.next, signal);
      } catch (error) {
        throw fail(error);
      }
    },
    close: async () => {
      await pieces.settled();
      await file.close();
    },
  };
}

/** A piece is in use until the next one has been taken, of which the parser may copy the rest first. */
const BUFFERS = 3;

/** The next piece is read while the last one is metered. */
function readAhead(file: FileHandle): {
  readonly next: () => Promise<Buffer | undefined>;
  readonly settled: () => Promise<void>;
} {
  const buffers = Array.from({ length: BUFFERS }, () => Buffer.alloc(PIECE_OCTETS));
  let pieces = 0;
  const read = async (): Promise<Buffer | undefined> => {
    const buffer = buffers[pieces++ % BUFFERS] ?? Buffer.alloc(PIECE_OCTETS);
    const { bytesRead } = await file.read(buffer, 0, buffer.length);
    return bytesRead === 0 ? undefined : buffer.subarray(0, bytesRead);
  };
  let ahead: Promise<Buffer | undefined> | undefined;
  return {
    next: async () => {
      const piece = await (ahead ?? read());
      ahead = piece === undefined ? undefined : read();
      // It fails for who takes it, if anybody does.
      ahead?.catch(() => undefined);
      return piece;
    },
    settled: async () => {
      await ahead?.catch(() => undefined);
    },
  };
}

/** A pipe may stay silent for long: whoever aborts does not wait for it. */
function readStream(stream: Readable): CaptureInput {
  const name = 'standard input';
  const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer | string>;
  return {
    name,
    octets: undefined,
    read: async (signal) => {
      try {
        const next = await unlessAborted(() => pieces.next(), signal);
        if (next === undefined || next.done === true) return undefined;
        return typeof next.value === 'string' ? Buffer.from(next.value) : next.value;
      } catch (error) {
        throw new CaptureInputError(name, error);
      }
    },
    close: async () => {
      stream.destroy();
    },
  };
}

async function unlessAborted<Result>(
  ask: () => Promise<Result>,
  signal: AbortSignal,
): Promise<Result | undefined> {
  if (signal.aborted) return undefined;
  const result = ask();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<undefined>((resolve) => {
    onAbort = () => {
      resolve(undefined);
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  // It may fail when nobody waits for it any more.
  result.catch(() => undefined);
  try {
    return await Promise.race([result, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
