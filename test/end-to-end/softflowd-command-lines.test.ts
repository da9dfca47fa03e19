// softflowd's command lines, of its manual's examples and with each flag that changes what is exported,
// given to softflowd and to procflow under its name.
import { COLLECTOR, SECOND_COLLECTOR } from '../support/softflowd.js';
import { compareRuns, IPFIX, TO, type CommandLine } from '../support/softflowd-lines.js';

/** With -r in the place of the manual's -i, and collectors of the test's own. */
const EXAMPLES: readonly CommandLine[] = [
  { name: '-n', capture: 'mixed', args: TO, times: 'near' },
  {
    name: '-n of two',
    capture: 'http',
    args: ['-n', `${COLLECTOR},${SECOND_COLLECTOR}`],
    times: 'near',
  },
  {
    name: '-v 5 -m 65536 -t udp=1m30s',
    capture: 'ntp',
    args: ['-v', '5', ...TO, '-m', '65536', '-t', 'udp=1m30s'],
    times: 'near',
  },
  { name: '-v 9 -L 64', capture: 'smtp', args: ['-v', '9', ...TO, '-L', '64'], times: 'shifted' },
];

const FLAGS: readonly CommandLine[] = [
  { name: '-v 1', capture: 'rtsp', args: ['-v', '1', ...TO], times: 'near' },
  { name: '-v 5', capture: 'sip', args: ['-v', '5', ...TO], times: 'near' },
  { name: '-v 9', capture: 'bstats', args: ['-v', '9', ...TO], times: 'shifted' },
  { name: '-v 10', capture: 'sip', args: ['-v', '10', ...TO], times: 'none' },
  { name: '-A sec', capture: 'dns', args: ['-v', '10', '-A', 'sec', ...TO], times: 'none' },
  { name: '-A micro', capture: 'dns', args: ['-v', '10', '-A', 'micro', ...TO], times: 'none' },
  { name: '-A nano', capture: 'dns', args: ['-v', '10', '-A', 'nano', ...TO], times: 'none' },
  { name: '-A without IPFIX', capture: 'dns', args: ['-A', 'milli', ...TO], times: 'near' },
  { name: '-b', capture: 'http', args: ['-b', ...IPFIX, ...TO], times: 'exact' },
  { name: '-b without IPFIX', capture: 'http', args: ['-b', ...TO], times: 'near' },
  {
    name: 'IPv6 and -v 5',
    capture: 'bstats',
    args: ['-v', '5', ...TO],
    times: 'none',
    isEmpty: true,
  },
  { name: '-6', capture: 'bstats', args: ['-6', ...TO], times: 'none', isEmpty: true },
  { name: '-P udp', capture: 'dns', args: ['-P', 'UDP', ...TO], times: 'near' },
  { name: '-S lo', capture: 'dns', args: ['-S', 'lo', ...TO], times: 'near' },
  { name: '-B', capture: 'dns', args: ['-B', '1000000', ...TO], times: 'near' },
  { name: '-C', capture: 'dns', args: ['-C', '96', ...TO], times: 'near' },
  { name: '-NM -x 0', capture: 'dns', args: ['-NM', '-x', '0', ...TO], times: 'near' },
  { name: '-D', capture: 'dns', args: ['-D', ...TO], times: 'near' },
  { name: '-p', capture: 'dns', args: ['-p', '/nonexistent/pid', ...TO], times: 'near' },
];

for (const line of [...EXAMPLES, ...FLAGS]) compareRuns(line);
