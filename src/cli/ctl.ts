// procflow ctl: asks a procflow that runs, by its control socket.
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { askControl } from '../daemon/control/control-client.js';
import { ConfigError } from '../daemon/config-error.js';
import { LineOutput } from './line-output.js';
import { DEBUG_OPTION } from './meter-options.js';
import { harmlessLines } from './printable.js';
import { notice, type ProgramIo } from './program-io.js';
import { SOFTFLOWD_CONTROL } from './program-name.js';

interface CtlOptionValues {
  readonly control?: string;
  readonly json?: boolean;
  readonly number?: string;
}

/** Where procflow's is by custom, and where softflowd's is. */
const CONTROL_PATHS = ['/run/procflow.ctl', SOFTFLOWD_CONTROL];

const DESCRIPTION = `\
Asks a running "procflow export -c PATH", or tells it what to do. softflowctl of softflowd can do
the same with the commands that it knows.`;

const MORE = `
Commands:
  statistics     what was metered, expired and exported so far
  dump-flows     each flow that goes on, with its process
  top            the processes with most octets in flows that go on (-n: how many)
  interfaces     the interfaces, and which are metered
  timeouts       when flows expire
  expire-all     export every flow now; metering goes on
  delete-all     forget every flow without exporting it
  stop-gather    stop metering packets; flows stay, and expire
  start-gather   meter again
  send-template  send templates now, over UDP
  reload         look for interfaces and look up collectors' names again, and send templates
  debug+         tell more: from level 1 each sweep, from level 2 each collector too
  debug-         tell less
  shutdown       export every flow and end (with --state: leave them to the next start)
  exit           end at once; flows that are not exported are lost

Without -c: ${CONTROL_PATHS.join(', else ')}.
With --json each answer is a line with an object; dump-flows gives a line for each flow, as
procflow live --json does.

Exit codes:
  0  answered
  1  nobody answered, or with an error
  2  the command line is wrong`;

/** @param name softflowctl, where it was started under this name */
export function ctlCommand(io: ProgramIo, name: 'ctl' | 'softflowctl' = 'ctl'): Command {
  const paths = name === 'ctl' ? CONTROL_PATHS : [SOFTFLOWD_CONTROL];
  return new Command(name)
    .summary('ask a running procflow export, or tell it what to do')
    .description(DESCRIPTION)
    .argument('<command>', 'see below')
    .option('-c, --control <path>', 'its control socket')
    .option('-n, --number <count>', 'how many processes top shows')
    .option('--json', 'answer in JSON')
    .option(...DEBUG_OPTION)
    .addHelpText('after', MORE)
    .action((command: string, options: CtlOptionValues) => runCtl(io, command, options, paths));
}

async function runCtl(
  io: ProgramIo,
  command: string,
  options: CtlOptionValues,
  paths: readonly string[],
): Promise<void> {
  const { control, number, json } = options;
  if (/[\n\r]/.test(command)) throw new ConfigError('command', 'has a newline', 'give one command');
  if (number !== undefined && command !== 'top') {
    throw new ConfigError(`-n ${number}`, `means nothing to ${command}`, 'it is for top');
  }
  const path = control ?? paths.find((each) => existsSync(each)) ?? paths[0] ?? '';
  const words = [
    ...(json === true ? ['json'] : []),
    command,
    ...(number === undefined ? [] : [number]),
  ];
  const answer = new AnswerEnd();
  const output = new LineOutput(io.out, () => undefined);
  for await (const piece of askControl(path, words.join(' '))) {
    answer.add(piece);
    // Whoever made the socket need not be procflow.
    await output.writeText(harmlessLines(piece));
    // A reader that left has what it wanted.
    if (output.isClosed) return;
  }
  // One line a flow: without flows there is none.
  const isAnswered = !answer.isEmpty || (json === true && command === 'dump-flows');
  if (!isAnswered) notice(io, `control socket ${path}: closed without an answer`);
  if (!isAnswered || answer.isError) io.setExitCode(1);
}

/** Enough of a line to know it by its beginning. */
const LINE_CHARACTERS = 256;

/** Looks whether an answer is an error: its last line is. */
class AnswerEnd {
  isEmpty = true;
  /** With its end, if that is there. */
  #last = '';

  add(piece: string): void {
    if (piece === '') return;
    this.isEmpty = false;
    const whole = `${this.#last}${piece}`;
    const end = whole.endsWith('\n') ? whole.length - 1 : whole.length;
    const line = whole.slice(end === 0 ? 0 : whole.lastIndexOf('\n', end - 1) + 1, end);
    this.#last = line.slice(0, LINE_CHARACTERS) + whole.slice(end);
  }

  get isError(): boolean {
    return /^(?:\S+\[\d+\]: error: |Unknown control command "|\{"error":)/.test(this.#last);
  }
}
