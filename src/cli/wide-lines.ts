// What `live --wide` puts below a flow: a line for each process of this host, with its command line,
// where it runs and who started it. Beside the flow there is no room for it on any terminal.
import type { FlowRecord } from '../flow/flow-record.js';
import type { ProcessDirectory, ProcessIdentity } from '../flow/process-directory.js';
import { liveSides } from './live-line.js';
import { cutEnd, displayWidth, printable } from './printable.js';

/** Below the flow's process, behind its time. */
const INDENT = ' '.repeat(14);
/** So much of a command line is shown on the narrowest terminal. */
const LEAST_COMMAND_WIDTH = 20;
/** As docker shows them; ids have 64 digits. */
const SHORT_ID_DIGITS = 12;

/**
 * In the order of the flow's own processes; none for a process of which nothing is known.
 * @param columns of the terminal; Infinity for what is no terminal: then nothing is cut
 */
export function wideLines(
  record: FlowRecord,
  directory: ProcessDirectory,
  columns: number,
): string[] {
  const sides = liveSides(record);
  const lines: string[] = [];
  for (const side of sides) {
    const identity = record.hasProcess(side) ? directory.identity(record, side) : undefined;
    if (identity === undefined) continue;
    const arrow = sides.length === 1 ? '' : side === sides[0] ? '   ' : '-> ';
    const line = identityText(identity, columns - INDENT.length - arrow.length);
    if (line !== '') lines.push(INDENT + arrow + line);
  }
  return lines;
}

/** The command line gives way where not all has room. */
function identityText(identity: ProcessIdentity, width: number): string {
  const { commandLine, executable } = identity;
  const origin = [placeText(identity), parentText(identity)].filter((text) => text !== '');
  const tail = origin.length === 0 ? '' : `(${origin.join(', ')})`;
  const command = printable(commandLine === '' ? executable : commandLine);
  if (command === '') return tail;
  const room = tail === '' ? width : width - displayWidth(tail) - 2;
  const shown = cutEnd(command, Math.max(LEAST_COMMAND_WIDTH, room));
  return tail === '' ? shown : `${shown}  ${tail}`;
}

function placeText({ containerId, containerRuntime, unit }: ProcessIdentity): string {
  if (containerId === '') return printable(unit);
  const id = /^[0-9a-f]{64}$/.test(containerId)
    ? containerId.slice(0, SHORT_ID_DIGITS)
    : containerId;
  return printable(containerRuntime === '' ? id : `${containerRuntime}:${id}`);
}

function parentText({ parentPid, parentName }: ProcessIdentity): string {
  return parentPid === 0 ? '' : `child of ${printable(parentName)}[${parentPid}]`;
}
