// What a user is told of an error: one line, and more for those who ask for it.
import { BpfError } from '../bpf-loader/bpf-error.js';
import { FilterError } from '../bpf-loader/filter/compile-filter.js';
import { ExportError } from '../exporter/export-error.js';
import { CaptureInputError } from './capture-input-error.js';
import { ConfigError } from './config-error.js';
import { ControlError } from './control/control-client.js';

interface ErrorDescription {
  /** Without the program's name and without a newline. */
  readonly line: string;
  /** The settings are wrong, rather than something that happened while running. */
  readonly isUsage: boolean;
  /** Nobody foresaw it: a defect, or a machine in trouble. */
  readonly isUnexpected: boolean;
  /** For --debug: the verifier's log, the stack. */
  readonly details: string;
}

/** What happens in operation, besides what is wrong with settings. */
const FORESEEN = [BpfError, ExportError, ControlError, CaptureInputError] as const;

export function describeError(error: unknown): ErrorDescription {
  const isUsage = error instanceof ConfigError || error instanceof FilterError;
  const isUnexpected = !(isUsage || FORESEEN.some((kind) => error instanceof kind));
  const message = error instanceof Error ? error.message : String(error);
  const details: string[] = [];
  if (error instanceof BpfError && error.verifierLog !== undefined) {
    details.push(error.verifierLog.trimEnd());
  }
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    details.push(cause.stack ?? cause.message);
  }
  return {
    line: oneLine(message === '' ? 'unknown error' : message),
    isUsage,
    isUnexpected,
    details: details.join('\n'),
  };
}

/** Messages of libraries may have several lines. */
function oneLine(message: string): string {
  return message
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('; ');
}
