// What a command has to do with the world: its streams, its environment and how it is stopped.
import type { Writable } from 'node:stream';
import type { DaemonProcess } from '../daemon/daemonise.js';
import { harmlessLine } from './printable.js';
import type { OutputKind } from './terminal-style.js';

export interface ProgramIo {
  readonly out: Writable & OutputKind;
  readonly err: Writable & OutputKind;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted by SIGINT, SIGTERM and SIGHUP. */
  readonly stopSignal: () => AbortSignal;
  /** As with --debug: more is told of errors. */
  readonly setDebug: () => void;
  /** Where this process is one in the background. */
  readonly daemon?: DaemonProcess | undefined;
  /** For a command that did its work and has to report a failure; errors are thrown instead. */
  readonly setExitCode: (code: number) => void;
}

/** A line of the program about itself: on stderr, so that it is never among the flows. */
export function notice(io: ProgramIo, line: string): void {
  io.err.write(`procflow: ${harmlessLine(line)}\n`);
}
