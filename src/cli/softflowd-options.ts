// softflowd's options beside procflow's own, and what holds when the program is started under its
// name.
import { Option, type Command } from 'commander';
import type { SoftflowdWords } from '../daemon/softflowd-settings.js';

const GROUP = "Options of softflowd's:";

/** As commander calls them. */
export type SoftflowdOptionValues = SoftflowdWords & {
  readonly transport?: string;
};

/** Flags, what they do, and the name of the value. */
const OPTIONS: readonly (readonly [flags: string, help: string])[] = [
  ['-b, --bidirectional', 'as --biflow where the collector gets IPFIX'],
  ['-s, --sample-rate <N>', 'as --sampling count:N; 0 and 1: every packet'],
  ['-P, --transport <udp|tcp>', 'for collectors that are given as host:port'],
  ['-A, --time-format <sec|milli|micro|nano>', 'as --time-precision; sec is told in ms'],
  ['-L, --hop-limit <0-255>', 'routers that messages to a multicast group may pass'],
  ['-S, --send-interface <name>', 'messages leave by this interface (UDP)'],
  ['-6, --ipv6', 'always so: IPv6 is metered, also where v1 and v5 cannot export it'],
  ['-a, --adjust-time', 'always so: flows of a capture file have its times'],
  ['-N, --no-promiscuous', 'always so'],
  ['-B, --buffer-octets <number>', 'accepted; there is no such buffer'],
  ['-C, --capture-octets <number>', 'accepted; packets are not copied'],
  ['-M, --threads', 'accepted; the kernel meters on all CPUs'],
  ['-x, --mpls-labels <number>', 'MPLS labels are not supported: 0 only'],
  ['-R, --receive-port <port>', 'PSAMP is not supported'],
];

export function addSoftflowdOptions(command: Command): Command {
  for (const [flags, help] of OPTIONS) {
    command.addOption(new Option(flags, help).helpGroup(GROUP));
  }
  return command;
}
