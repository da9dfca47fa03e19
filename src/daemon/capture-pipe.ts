// A capture that comes through a named pipe, or a terminal: it is read as standard input is, so that
// whoever waits for it can leave.
import { closeSync, readSync, readlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReadStream } from 'node:tty';

const FIRST_OCTETS = 64 * 1024;
/** The kernel tells nobody that a pipe has got its first writer. */
const WRITER_CHECK_MS = 50;

export interface CapturePipe {
  /** @returns undefined at the end, and when the signal is aborted before there was a writer */
  readonly begin: (signal: AbortSignal) => Promise<PipeBeginning | undefined>;
  readonly close: () => void;
}

export interface PipeBeginning {
  readonly first: Buffer;
  /** What follows. */
  readonly stream: Readable;
}

/** @param fd was opened with O_NONBLOCK: open() would wait for a writer, and for no signal */
export function openPipe(fd: number): CapturePipe {
  let stream: Readable | undefined;
  return {
    begin: async (signal) => {
      const first = await readFirst(fd, signal);
      if (first === undefined) return undefined;
      stream = new Socket({ fd, readable: true, writable: false });
      return { first, stream };
    },
    close: () => {
      if (stream === undefined) closeSync(fd);
      else stream.destroy();
    },
  };
}

export function openTerminal(fd: number): Readable {
  return new ReadStream(fd);
}

/** @returns undefined when nothing comes any more; empty where there is a writer that is still silent */
async function readFirst(fd: number, signal: AbortSignal): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(FIRST_OCTETS);
  while (!signal.aborted) {
    const octets = readIfReady(fd, bytes);
    if (octets === undefined) return Buffer.alloc(0);
    if (octets > 0) return bytes.subarray(0, octets);
    if (!mayGetWriter(fd)) return undefined;
    await sleep(WRITER_CHECK_MS, undefined, { signal }).catch(() => undefined);
  }
  return undefined;
}

/** @returns 0 where there is no writer, undefined where there is one that has written nothing yet */
function readIfReady(fd: number, into: Buffer): number | undefined {
  try {
    return readSync(fd, into);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** A pipe without a name, such as a shell's <(command), is not opened by others once it is left. */
function mayGetWriter(fd: number): boolean {
  return !readlinkSync(`/proc/self/fd/${fd}`).startsWith('pipe:');
}
