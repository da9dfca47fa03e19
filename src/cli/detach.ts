// procflow detach: removes what sessions that have ended left in the kernel.
import { Command } from 'commander';
import { detach, readDetachConfig } from '../daemon/detach.js';
import { DEBUG_OPTION } from './meter-options.js';
import { printable } from './printable.js';
import type { ProgramIo } from './program-io.js';

interface DetachOptionValues {
  readonly state?: string;
  readonly netns?: string;
}

const DESCRIPTION = `\
Removes what a procflow that has ended or was killed left in the kernel: all that is kept in a state
directory (metering ends, flows that were not exported are lost), and clsact filters.`;

const MORE = `
What belongs to a procflow that runs stays: stop that one first.

Exit codes:
  0  it is removed, or there was nothing
  1  it could not be removed, or is in use
  2  the command line is wrong`;

export function detachCommand(io: ProgramIo): Command {
  return new Command('detach')
    .summary('end metering that goes on without procflow, remove what was left in the kernel')
    .description(DESCRIPTION)
    .option('--state <path>', 'the directory that was given to export or live with --state')
    .option('--netns <name|path>', 'where the interfaces are (default: the current one)')
    .option(...DEBUG_OPTION)
    .addHelpText('after', MORE)
    .action((options: DetachOptionValues) => {
      const { state, filters, left } = detach(readDetachConfig(options));
      const say = (line: string): void => {
        io.out.write(`${printable(line)}\n`);
      };
      if (state !== undefined) {
        const { path, links, flows } = state;
        say(`removed ${path}: ${links} links; ${flows} flows were not exported`);
      }
      for (const name of filters) say(`removed clsact filters from ${name}`);
      for (const path of left) say(`${path} is kept by no procflow that runs: --state ${path}`);
      if (state === undefined && filters.length + left.length === 0) say('there was nothing');
    });
}
