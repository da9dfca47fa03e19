// What --help says of `procflow export`, and of the program under softflowd's name.
import { COLLECTOR_SETTINGS, type CollectorSettingName } from '../daemon/collector-settings.js';
import { CAPTURE_HELP } from './meter-options.js';

const SETTING_NAMES = Object.keys(COLLECTOR_SETTINGS) as CollectorSettingName[];

const HELP_WIDTH = 95;

export const EXPORT_DESCRIPTION = `\
Meters the packets of network interfaces and exports their flows, each with the process
that it belongs to, as NetFlow or IPFIX to one or several collectors. Runs in the foreground
until SIGINT, SIGTERM or SIGHUP; then it exports the flows that it still has and prints a
summary.`;

export const EXPORT_HELP = `
Times are in seconds, decimals allowed, or as 10m or 1h30m (s, m, h, d, w); octets are those of
the IP packets, headers included. Needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.

A destination is host:port, or one of
  udp://host:port     ?source=ADDRESS  ?device=INTERFACE  ?hops=N (multicast)  ?resolve=TIME
  tcp://host:port     ?source=ADDRESS  ?reconnect=TIME  ?stall=TIME        (IPFIX only)
  tls://host:port     the same, ?ca=FILE ?cert=FILE ?key=FILE ?servername=NAME ?verify=no
  unix:///path        a Unix datagram socket
  file:///path        ?rotate=TIME  ?size=OCTETS: IPFIX files (RFC 5655)
An IPv6 address stands in brackets. What the options above set for all collectors, a parameter
sets for one: 'udp://192.0.2.1:4739?version=10&profile=full'. They are called
${wrapped(SETTING_NAMES.map((name) => COLLECTOR_SETTINGS[name].parameter))}.
Quote a destination with parameters for the shell.
${CAPTURE_HELP}

Examples:
  # NetFlow v9 of one interface to a collector on this host
  procflow export -i eth0 -n 127.0.0.1:9995 -v 9

  # IPFIX of all interfaces, present and future, to a collector with an IPv6 address
  procflow export -i any -n [2001:db8::1]:4739 -v 10

  # to two collectors, each in its format
  procflow export -i any -n 127.0.0.1:9995 -n 'tcp://192.0.2.1:4739?version=10&profile=full'

  # to files, a new one every five minutes
  procflow export -i any -n 'file:///var/lib/flows/flows.ipfix?version=10&rotate=5m'

  # a container's network namespace, told apart by its observation domain
  procflow export -i eth0 --netns web -n 192.0.2.1:4739 -v 10 --observation-domain 7

  # with the parent, the command line and the container of each process
  procflow export -i any -n 192.0.2.1:4739 -v 10 --profile full

  # only name resolution
  procflow export -i any -n 127.0.0.1:9995 udp port 53

  # the sockets of all containers, in whatever network namespace
  procflow export --capture sockets -n 192.0.2.1:4739 -v 10

  # the flows of a capture file (pcap or pcapng; - is standard input), by its own times
  procflow export -r capture.pcap -n 127.0.0.1:9995 -v 9

Exit codes:
  0  ended by a signal or at the end of a file, all in good order
  1  could not start, or metering broke down, or a file is broken: what stands before is exported
  2  the command line is wrong`;

export const SOFTFLOWD_DESCRIPTION = `\
procflow in the place of softflowd: its options, its defaults, and the process behind each flow
where the format can tell it (-v 9, -v 10). docs/softflowd.md has what differs.`;

export const SOFTFLOWD_HELP = `
Timeouts by default: tcp 3600, tcp.rst 120, tcp.fin 300, udp 300, icmp 300, general 3600,
maxlife 604800, expint 60 (seconds; or 10m, 1h30m: s, m, h, d, w). Without -n flows are only
counted. Further words are a filter expression (pcap-filter(7)).

Examples:
  softflowd -i eth0 -n 192.0.2.1:9995
  softflowd -v 9 -i any -n 192.0.2.1:9995,[2001:db8::1]:9995 -t maxlife=5m
  softflowd -d -v 10 -i eth0 -n 192.0.2.1:4739 -b not port 22`;

/** Words in lines of the help's width. */
function wrapped(words: readonly string[]): string {
  const lines: string[] = [''];
  for (const [i, word] of words.entries()) {
    const text = i === words.length - 1 ? word : `${word}, `;
    if (`${lines.at(-1) ?? ''}${text}`.trimEnd().length > HELP_WIDTH) lines.push('');
    lines.push(`${lines.pop() ?? ''}${text}`);
  }
  return lines.map((line) => line.trimEnd()).join('\n');
}
