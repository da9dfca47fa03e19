// procflow doctor: what the kernel and the machine offer, and what the lack of it costs.
import { Command } from 'commander';
import { checkKernel, type KernelFeature } from '../daemon/check-kernel.js';
import { DEBUG_OPTION } from './meter-options.js';
import { padEnd, printable } from './printable.js';
import type { ProgramIo } from './program-io.js';
import { paintFor, type Paint } from './terminal-style.js';

const DESCRIPTION = `\
Tries what procflow needs of the kernel and the machine, and prints what was found, and
what the lack of the rest costs.`;

const MORE = `
Exit codes:
  0  everything that is required is there
  1  something required is missing: procflow cannot run here`;

export function doctorCommand(io: ProgramIo): Command {
  return new Command('doctor')
    .summary('show whether procflow can run here, and how well')
    .description(DESCRIPTION)
    .option(...DEBUG_OPTION)
    .addHelpText('after', MORE)
    .action(() => {
      const { features, canRun } = checkKernel();
      const paint = paintFor(io.out, io.env);
      for (const line of featureLines(features, paint)) io.out.write(`${line}\n`);
      io.out.write(canRun ? '\nprocflow can run here.\n' : '\nprocflow cannot run here.\n');
      if (!canRun) io.setExitCode(1);
    });
}

/** A table: name, found or missing, what was seen; below what is missing, what that means. */
export function featureLines(features: readonly KernelFeature[], paint: Paint): string[] {
  const nameWidth = Math.max(0, ...features.map(({ name }) => name.length));
  return features.flatMap(({ name, found, required, detail, consequence }) => {
    const [style, word] = found
      ? (['green', 'found'] as const)
      : required
        ? (['red', 'MISSING'] as const)
        : (['yellow', 'missing'] as const);
    const state = paint(style, padEnd(word, 'MISSING'.length));
    const line = `${padEnd(name, nameWidth)}  ${state}  ${printable(detail)}`.trimEnd();
    if (found || consequence === '') return [line];
    return [line, `${' '.repeat(nameWidth + 2 + 'MISSING'.length + 2)}${printable(consequence)}`];
  });
}
