// What softflowd's flags say of which packets are metered, and which of them are one flow: given to
// softflowd and to procflow under its name.
import { compareRuns, IPFIX, TO, type CommandLine } from '../support/softflowd-lines.js';

const LINES: readonly CommandLine[] = [
  ...['ether', 'vlan', 'full', 'proto', 'ip'].map((level): CommandLine => ({
    name: `-T ${level}`,
    capture: 'vlan',
    args: ['-T', level, ...IPFIX, ...TO],
    times: 'exact',
  })),
  ...['PORT', 'proto', 'ip'].map((level): CommandLine => ({
    name: `-T ${level}`,
    capture: 'mixed',
    args: ['-T', level, ...TO],
    times: 'near',
  })),
  { name: '-m 4', capture: 'ssdp', args: ['-m', '4', ...TO], times: 'near' },
  { name: '-s 1', capture: 'ntp', args: ['-s', '1', ...TO], times: 'near' },
  {
    name: '-t',
    capture: 'ntp',
    args: ['-t', 'general=1h', '-t', 'udp=1H30m', ...TO],
    times: 'near',
  },
  ...[
    'udp port 53',
    'udp and not port 53',
    'icmp or (udp and dst net 10.5.0.0/16)',
    'ip[8] < 64',
    'less 100',
  ].map((expression): CommandLine => ({
    name: expression,
    capture: 'mixed',
    args: [...IPFIX, ...TO],
    filter: expression.split(' '),
    times: 'exact',
  })),
];

for (const line of LINES) compareRuns(line);
