// The options of a daemon: its control socket and its pid file.
import type { Command } from 'commander';
import { ConfigError } from '../daemon/config-error.js';
import { writePidFile } from '../daemon/pid-file.js';
import type { ControlConfig } from '../daemon/run-meter.js';
import { controlProtocol } from './control-protocol.js';

/** softflowd's word for no control socket. */
const NONE = 'none';

export function addControlOptions(command: Command): Command {
  return command
    .option(
      '-c, --control <path>',
      `a socket by which procflow ctl and softflowctl can ask; "${NONE}" is none, the default`,
    )
    .option('-p, --pidfile <path>', 'write the process id into this file');
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
