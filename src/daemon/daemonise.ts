// Going into the background: the program starts itself again, apart from terminal and session, and waits
// until that one meters or has failed. Node cannot fork.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { loadExportSockets } from '../bpf-loader/export-sockets.js';
import { closeStandardError } from '../bpf-loader/standard-error.js';
import { openSystemLog } from './system-log.js';

const READY = 'ready';

/**
 * Starts this program again with the same arguments, as a daemon.
 * @param onText what it says until it is ready
 * @param signal ends it while it is waited for
 * @returns the exit code to end with: 0 when it is ready, else its own
 */
export async function startDaemon(
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // Tells it what it is.
    env: { ...process.env, PROCFLOW_DAEMON: '1' },
  });
  const { stderr } = child;
  // Always there with the stdio above.
  if (stderr === null) throw new Error('the daemon has no standard error');
  stderr.setEncoding('utf8').on('data', onText);
  const saidAll = once(stderr, 'end');
  const end = (): void => {
    child.kill('SIGTERM');
  };
  signal.addEventListener('abort', end);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (exitCode) => {
        resolve(exitCode ?? 1);
      });
      child.on('message', (message) => {
        if (message === READY) resolve(0);
      });
    });
    await saidAll;
    return code;
  } finally {
    signal.removeEventListener('abort', end);
    if (child.connected) child.disconnect();
    child.unref();
  }
}

/** What a daemon knows of itself. */
export interface DaemonProcess {
  /** Lines for whoever started it; once it is ready, for the system log. */
  readonly write: (text: string) => void;
  /** It does what it was started for: whoever started it may go. */
  readonly becomeReady: () => void;
}

/** Undefined where this process was not started by startDaemon(). Once only: its children are none. */
export function daemonProcess(): DaemonProcess | undefined {
  const isMarked = process.env.PROCFLOW_DAEMON !== undefined && process.send !== undefined;
  // Not to be said of what this process may start.
  delete process.env.PROCFLOW_DAEMON;
  if (!isMarked) return undefined;
  let log: ((line: string) => void) | undefined;
  return {
    write: (text) => {
      if (log === undefined) process.stderr.write(text);
      else for (const line of text.split('\n')) if (line !== '') log(line);
    },
    becomeReady: () => {
      if (log !== undefined) return;
      const { openUnixDatagram } = loadExportSockets();
      log = openSystemLog({ openUnixDatagram });
      // The directory may be unmounted.
      process.chdir('/');
      process.send?.(READY, () => {
        closeStandardError();
        if (process.connected) process.disconnect();
      });
    },
  };
}
