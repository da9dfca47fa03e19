// The options that `export` and `live` share.
import { Option, type Command } from 'commander';
import { ATTACH_MODES, CAPTURE_MODES } from '../daemon/capture-config.js';
import type { MeterSettings } from '../daemon/meter-config.js';
import { TIMEOUT_NAMES } from '../daemon/timeouts-config.js';
import { TRACK_LEVELS } from '../flow/track-level.js';
import { NON_PROCESS_NAMES, type NonProcessNames } from '../flow/non-process-names.js';

/** As commander gives them: each option that has a default is there. */
export interface MeterOptionValues extends Omit<MeterSettings, 'interface' | 'filter'> {
  readonly interface?: readonly string[];
  readonly debug?: boolean;
}

interface MeterDefaults {
  readonly activeTimeout: string;
  readonly idleTimeout: string;
}

const DEFAULT_MAX_FLOWS = '65536';

const CAPTURE =
  'where packets are metered: at interfaces, or at sockets, in all network namespaces at once';

/** For --help: what the second place sees, and what it cannot. */
export const CAPTURE_HELP = `
With --capture sockets, packets are metered where a socket sends or receives them: those of
every container and network namespace, without attaching to their interfaces; on loopback
once. Not seen there: what no socket of this host sends or receives (forwarded packets,
AF_PACKET, ARP), what is dropped before it reaches a socket (a closed port, a firewall), and
packets that the kernel answers itself (pings, neighbour discovery). A datagram counts as one
packet however it is fragmented, and once for each socket that receives it.`;

/** The last words of a command line. */
export function addFilterArgument(command: Command): Command {
  return command.argument(
    '[expression...]',
    'meter only packets that match, as for tcpdump (man pcap-filter): udp port 53; needs libpcap',
  );
}

/** @param defaults undefined: by name alone, as softflowd has them */
export function addTimingOptions(command: Command, defaults: MeterDefaults | undefined): Command {
  if (defaults !== undefined) {
    const { activeTimeout, idleTimeout } = defaults;
    const active = 'report a flow that goes on this often';
    const idle = 'a flow silent for so long has ended';
    command.addOption(withDefault('--active-timeout <seconds>', active, activeTimeout));
    command.addOption(withDefault('--idle-timeout <seconds>', idle, idleTimeout));
  }
  const names = TIMEOUT_NAMES.join(', ');
  return command.option('-t, --timeout <name=time>', `one by name, repeatable: ${names}`, collect);
}

export function addMeterOptions(command: Command, defaults: { maxFlows?: string } = {}): Command {
  const ways = `how to attach to interfaces: ${ATTACH_MODES.join(', ')}`;
  const sampling =
    'meter one in so many: 10 or count:10 every 10th packet, random:10 packets at random, flow:10 ' +
    'whole connections; counters are not scaled up';
  const flows = 'flows kept at a time; of more, those that are silent longest end early';
  const track =
    'what tells flows apart: MAC addresses, VLAN tags, ports, protocol, or IP addresses alone';
  return command
    .addOption(withDefault(`--capture <${CAPTURE_MODES.join('|')}>`, CAPTURE, 'interface'))
    .option('--netns <name|path>', 'meter in this network namespace (default: the current one)')
    .addOption(
      withDefault('-m, --max-flows <number>', flows, defaults.maxFlows ?? DEFAULT_MAX_FLOWS),
    )
    .addOption(withDefault(`-T, --track <${TRACK_LEVELS.join('|')}>`, track, 'full'))
    .option('--track-process', 'the process tells flows apart too: one record for each on a socket')
    .addOption(withDefault('--sampling <1 in N>', sampling, 'none'))
    .option(
      '--cgroup <path>',
      'see the sockets of this cgroup v2 directory, and meter only them with --capture sockets ' +
        '(default: all)',
    )
    .option(
      '--state <path>',
      'go on metering when the process ends or is killed, and find the flows at the next start: a ' +
        'directory below a BPF file system, such as /sys/fs/bpf/procflow; "procflow detach" ends it',
    )
    .addOption(withDefault('--attach <way>', ways, 'auto'))
    .option('-u, --user <name[:group]>', 'become this user when the metering is set up (root only)')
    .addOption(nameOption('kernel', "the kernel's own packets"))
    .addOption(nameOption('forwarded', 'packets that only pass through this host'))
    .addOption(nameOption('unknown', 'packets whose process was not found'))
    .option(...DEBUG_OPTION);
}

export const DEBUG_OPTION = [
  '--debug',
  "with an error, print its stack and the kernel verifier's log",
] as const;

function nameOption(kind: keyof NonProcessNames, what: string): Option {
  const description = `the process name of ${what}; "" for none`;
  return withDefault(`--${kind}-name <text>`, description, NON_PROCESS_NAMES[kind]);
}

/** The default is shown as it would be typed, where commander would put it in quotes. */
export function withDefault(flags: string, description: string, value: string): Option {
  return new Option(flags, description).default(value, value);
}

/** Lets an option be given several times: -i eth0 -i eth1. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
