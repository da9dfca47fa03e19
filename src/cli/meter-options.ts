// The options that `export` and `live` share.
import { Option, type Command } from 'commander';
import { ATTACH_MODES, type MeterSettings } from '../daemon/meter-config.js';

/** As commander gives them: each option that has a default is there. */
export interface MeterOptionValues extends Omit<MeterSettings, 'interface'> {
  readonly interface?: readonly string[];
  readonly debug?: boolean;
}

export interface MeterDefaults {
  readonly activeTimeout: string;
  readonly idleTimeout: string;
}

const DEFAULT_MAX_FLOWS = '65536';

export function addTimingOptions(command: Command, defaults: MeterDefaults): Command {
  return command
    .option(
      '--active-timeout <seconds>',
      'a flow that goes on is reported this often',
      defaults.activeTimeout,
    )
    .option(
      '--idle-timeout <seconds>',
      'a flow that is silent for so long has ended',
      defaults.idleTimeout,
    );
}

export function addMeterOptions(command: Command): Command {
  return command
    .option('--netns <name|path>', 'meter in this network namespace (default: the current one)')
    .option(
      '--max-flows <number>',
      'flows kept at a time; more are sent at once',
      DEFAULT_MAX_FLOWS,
    )
    .option('--cgroup <path>', 'see the sockets of this cgroup v2 directory (default: all)')
    .addOption(
      new Option(
        '--attach <way>',
        `how to attach to interfaces: ${ATTACH_MODES.join(', ')}`,
      ).default('auto'),
    )
    .option('--debug', "with an error, print its stack and the kernel verifier's log");
}

/** Lets an option be given several times: -i eth0 -i eth1. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
