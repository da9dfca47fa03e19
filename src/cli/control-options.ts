// The options of a daemon: its control socket and its pid file.
import type { Command } from 'commander';
import { ConfigError } from '../daemon/config-error.js';
import { startDaemon } from '../daemon/daemonise.js';
import { writePidFile } from '../daemon/pid-file.js';
import type { ControlConfig } from '../daemon/run-meter.js';
import { controlProtocol } from './control-protocol.js';
import type { ProgramIo } from './program-io.js';
import type { ExportDefaults } from './program-name.js';

/** softflowd's word for no control socket. */
const NONE = 'none';

/** What is told of the paths; they are not set here, because a file or -d may leave them out. */
export function addControlOptions(
  command: Command,
  { control = NONE, pidFile }: Pick<ExportDefaults, 'control' | 'pidFile'>,
): Command {
  const usualPidFile =
    pidFile === undefined ? '' : ` (default: ${pidFile}, in the background only)`;
  return command
    .option(
      '-c, --control <path>',
      `a socket by which procflow ctl and softflowctl can ask; "${NONE}" is none (default: ${control})`,
    )
    .option('-p, --pidfile <path>', `write the process id into this file${usualPidFile}`)
    .option('--daemon', 'go into the background once packets are metered; notices to syslog');
}

/** @param programName as which answers are given */
export function readControl(
  path: string | undefined,
  programName: string,
): ControlConfig | undefined {
  if (path === undefined || path === NONE) return undefined;
  if (path === '') throw new ConfigError('-c', 'is empty', `give a path, or "${NONE}"`);
  return { path, protocol: controlProtocol(programName) };
}

/**
 * Goes on in the background where that is wished and is not so yet.
 * @returns whether it does: then there is nothing left to do here
 */
export async function goneToBackground(io: ProgramIo, isWished: boolean): Promise<boolean> {
  if (!isWished || io.daemon !== undefined) return false;
  const write = (text: string): void => void io.err.write(text);
  io.setExitCode(await startDaemon(write, io.stopSignal()));
  return true;
}

/** @throws ConfigError when the file cannot be had */
export async function runWithPidFile<Result>(
  path: string | undefined,
  run: () => Promise<Result>,
): Promise<Result> {
  if (path === undefined) return run();
  const file = writePidFile(path);
  try {
    return await run();
  } finally {
    file.remove();
  }
}
