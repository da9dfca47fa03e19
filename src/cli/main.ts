// The command line: builds the commands, runs the one that was asked for, and is the only place
// that decides how the process ends.
import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { Command, CommanderError } from 'commander';
import { daemonProcess } from '../daemon/daemonise.js';
import { describeError } from '../daemon/describe-error.js';
import { ctlCommand } from './ctl.js';
import { detachCommand } from './detach.js';
import { doctorCommand } from './doctor.js';
import { exportCommand } from './export.js';
import { liveCommand } from './live.js';
import { DEBUG_OPTION } from './meter-options.js';
import { harmlessLines } from './printable.js';
import { notice, type ProgramIo } from './program-io.js';
import { SOFTFLOWD_DEFAULTS, programName, type ProgramName } from './program-name.js';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const SAME_WISH_MS = 1000;
const HELP_WIDTH = 100;

const DESCRIPTION = `\
A NetFlow/IPFIX exporter for Linux hosts that names the process behind every flow. Packets
are counted by eBPF in the kernel, where the owner of each socket is known.`;

const MORE = `
Start with "procflow live" to see the flows of this host, and "procflow doctor" if that
does not work. "procflow export --help" and the like tell more of each command.`;

function helpWidth(): number {
  const { columns } = process.stdout as { columns?: number };
  return Math.min(HELP_WIDTH, columns ?? HELP_WIDTH);
}

function buildProgram(io: ProgramIo, name: ProgramName): Command {
  if (name !== 'procflow') {
    const isSoftflowd = name === 'softflowd';
    const program = isSoftflowd ? exportCommand(io, SOFTFLOWD_DEFAULTS) : ctlCommand(io, name);
    configure(io, [program.helpOption('-h, --help', 'print this help')]);
    return program;
  }
  const program = new Command('procflow')
    .description(DESCRIPTION)
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .option(...DEBUG_OPTION)
    .helpCommand(false)
    .addHelpText('after', MORE);
  const commands = [
    ...[exportCommand(io), liveCommand(io), ctlCommand(io)],
    ...[detachCommand(io), doctorCommand(io)],
  ];
  for (const command of commands)
    program.addCommand(command.helpOption('-h, --help', 'print this help'));
  configure(io, [program, ...commands]);
  return program;
}

function configure(io: ProgramIo, commands: readonly Command[]): void {
  for (const command of commands) {
    command
      .exitOverride()
      .allowExcessArguments(false)
      .configureHelp({ helpWidth: helpWidth() })
      .configureOutput({
        writeOut: (text) => io.out.write(text),
        writeErr: (text) => io.err.write(text),
        outputError: (text, write) => {
          write(harmlessLines(text.replace(/^error: /, 'procflow: ')));
        },
      });
  }
}

/** Beside build/, in a checkout as in an installed package. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}

/**
 * The first signal ends the program in good order, and one that comes a while later at once. Those
 * in between are the same wish: timeout(1) signals its child and then its process group.
 */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let firstMs: number | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    firstMs ??= performance.now();
    controller.abort();
    if (performance.now() - firstMs < SAME_WISH_MS) return;
    for (const each of signals) process.off(each, stop);
    process.kill(process.pid, signal);
  };
  for (const signal of signals) process.on(signal, stop);
  return controller.signal;
}

function report(io: ProgramIo, error: unknown, isDebug: boolean): number {
  const { line, isUsage, isUnexpected, details } = describeError(error);
  const hint = isUnexpected && !isDebug ? ' (unexpected; --debug shows more)' : '';
  notice(io, `${line}${hint}`);
  if (isDebug) io.err.write(`${harmlessLines(details)}\n`);
  return isUsage ? EXIT_USAGE : EXIT_FAILURE;
}

function writableTo(write: (text: string) => void): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      write(chunk.toString('utf8'));
      done();
    },
  });
}

async function main(argv: readonly string[]): Promise<void> {
  let isDebug = argv.includes('--debug');
  const daemon = daemonProcess();
  const io: ProgramIo = {
    out: process.stdout,
    err: daemon === undefined ? process.stderr : writableTo(daemon.write),
    daemon,
    env: process.env,
    stopSignal,
    setDebug: () => {
      isDebug = true;
    },
    setExitCode: (code) => {
      process.exitCode = code;
    },
  };
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that left has what it wanted.
    if (error.code === 'EPIPE') return;
    notice(io, `write to standard output: ${error.code ?? error.message}`);
    process.exitCode = EXIT_FAILURE;
  });
  // Nobody is left to tell.
  process.stderr.on('error', () => undefined);
  process.on('uncaughtException', (error) => {
    process.exit(report(io, error, isDebug));
  });
  try {
    await buildProgram(io, programName(argv[1])).parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has printed what it has to say. Its own code is 0 for --help and --version.
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
    } else {
      process.exitCode = report(io, error, isDebug);
    }
  }
}

await main(process.argv);
