// Loads each program of the object by itself: what this kernel's verifier says of it.
import { getSystemErrorName } from 'node:util';
import { openLibbpf } from '../../src/bpf-loader/bpf-object.js';
import { meterSettingsBytes } from '../../src/bpf-loader/meter-settings.js';
import type { ObjectPointer } from '../../src/bpf-loader/native/libbpf.js';
import { openArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import { objectFile } from '../../src/bpf-loader/object-file.js';
import {
  canCast,
  programsToLeaveOut,
  readKernelNames,
} from '../../src/bpf-loader/program-choice.js';

const LOG_OCTETS = 1 << 24;
const REASON_OCTETS = 120;

/** @returns of each program that is for this kernel: why it does not load, '' where it does */
export function loadEach(): Record<string, string> {
  const kernel = readKernelNames();
  const notForIt = programsToLeaveOut(kernel);
  const results: Record<string, string> = {};
  const hasCasts = canCast(kernel);
  const path = objectFile(hasCasts);
  for (const name of withObject(path, programNames)) {
    if (notForIt.has(name)) continue;
    const atSockets = name.startsWith('socket_');
    const settings = meterSettingsBytes({}, { canCast: hasCasts, atSockets });
    results[name] = withObject(path, (object, log) => loadOne(object, name, settings, log));
  }
  return results;
}

function withObject<Result>(
  path: string,
  use: (object: ObjectPointer, log: Buffer) => Result,
): Result {
  const libbpf = openLibbpf();
  const log = Buffer.alloc(LOG_OCTETS);
  libbpf.onPrint(() => undefined);
  const object = libbpf.openFile(path, openArgument(log));
  if (object === null) throw new Error(`cannot open ${path}`);
  try {
    return use(object, log);
  } finally {
    libbpf.close(object);
  }
}

function programNames(object: ObjectPointer): string[] {
  const libbpf = openLibbpf();
  const names: string[] = [];
  let program = libbpf.nextProgram(object, null);
  for (; program !== null; program = libbpf.nextProgram(object, program)) {
    names.push(libbpf.programName(program));
  }
  return names;
}

function loadOne(object: ObjectPointer, wanted: string, settings: Buffer, log: Buffer): string {
  const libbpf = openLibbpf();
  for (const name of programNames(object)) {
    const program = libbpf.findProgram(object, name);
    if (program !== null) libbpf.setAutoload(program, name === wanted);
  }
  const map = libbpf.findMap(object, '.rodata.settings');
  if (map === null) throw new Error('the object has no settings');
  libbpf.setInitialValue(map, settings, settings.length);
  const result = libbpf.load(object);
  return result < 0 ? reasonIn(log, getSystemErrorName(result)) : '';
}

/** The verifier's last word before its figures. */
function reasonIn(log: Buffer, errorName: string): string {
  const lines = log.toString('utf8', 0, log.indexOf(0)).trimEnd().split('\n');
  const last = lines
    .filter((line) => !/^(processed|verification time|stack depth)/.test(line))
    .at(-1);
  return `${errorName}: ${last ?? ''}`.slice(0, REASON_OCTETS);
}
