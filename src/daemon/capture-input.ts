// Where a capture file comes from: a file, a pipe, or standard input. Read in pieces.
import { close, constants, fstatSync, openSync, read, type Stats } from 'node:fs';
import type { Readable } from 'node:stream';
import { isatty } from 'node:tty';
import { promisify } from 'node:util';
import { CaptureInputError } from './capture-input-error.js';
import { openPipe, openTerminal } from './capture-pipe.js';

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

const closeFile = promisify(close);
const readFile = promisify(read);

/** @throws CaptureInputError */
export function openCaptureInput(
  path: string,
  standardInput: Readable = process.stdin,
): CaptureInput {
  if (path === STANDARD_INPUT) return readStream('standard input', standardInput);
  const [fd, status] = openUnblocked(path);
  if (status.isFIFO()) return readPipe(path, fd);
  if (isatty(fd)) return readStream(path, openTerminal(fd));
  return readFileInPieces(path, fd, status.isFile() ? status.size : undefined);
}

/** Opening a pipe that nobody writes to would wait, and not even for a signal. */
function openUnblocked(path: string): [number, Stats] {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    return [fd, fstatSync(fd)];
  } catch (error) {
    throw new CaptureInputError(path, error);
  }
}

function readFileInPieces(path: string, fd: number, octets: number | undefined): CaptureInput {
  const pieces = readAhead(fd);
  return {
    name: path,
    octets,
    read: async (signal) => {
      try {
        return await unlessAborted(pieces.next, signal);
      } catch (error) {
        throw new CaptureInputError(path, error);
      }
    },
    close: async () => {
      await pieces.settled();
      await closeFile(fd);
    },
  };
}

function readPipe(path: string, fd: number): CaptureInput {
  const pipe = openPipe(fd);
  let rest: CaptureInput | undefined;
  return {
    name: path,
    octets: undefined,
    read: async (signal) => {
      if (rest !== undefined) return rest.read(signal);
      try {
        const beginning = await pipe.begin(signal);
        if (beginning === undefined) return undefined;
        rest = readStream(path, beginning.stream);
        return beginning.first;
      } catch (error) {
        throw new CaptureInputError(path, error);
      }
    },
    close: async () => {
      pipe.close();
    },
  };
}

/** A piece is in use until the next one has been taken, of which the parser may copy the rest first. */
const BUFFERS = 3;

/** The next piece is read while the last one is metered. */
function readAhead(fd: number): {
  readonly next: () => Promise<Buffer | undefined>;
  readonly settled: () => Promise<void>;
} {
  const buffers = Array.from({ length: BUFFERS }, () => Buffer.alloc(PIECE_OCTETS));
  let pieces = 0;
  const readPiece = async (): Promise<Buffer | undefined> => {
    const buffer = buffers[pieces++ % BUFFERS] ?? Buffer.alloc(PIECE_OCTETS);
    const { bytesRead } = await readFile(fd, buffer, 0, buffer.length, null);
    return bytesRead === 0 ? undefined : buffer.subarray(0, bytesRead);
  };
  let ahead: Promise<Buffer | undefined> | undefined;
  return {
    next: async () => {
      const piece = await (ahead ?? readPiece());
      ahead = piece === undefined ? undefined : readPiece();
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
function readStream(name: string, stream: Readable): CaptureInput {
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
