// Every capture, metered by softflowd and by procflow under its name: the same flows, packets, octets,
// flags and times to the millisecond, but for what docs/softflowd.md explains.
import { readdirSync } from 'node:fs';
import { CAPTURES, compareRuns, IPFIX, TO } from '../support/softflowd-lines.js';

const ALL = readdirSync(CAPTURES).filter((name) => name.endsWith('.pcap'));
const NO_IP = ['arp.pcap'];
for (const capture of ALL) {
  const name = capture.replace('.pcap', '');
  const args = [...IPFIX, ...TO];
  const isEmpty = NO_IP.includes(capture) ? { isEmpty: true as const } : {};
  compareRuns({ name: 'IPFIX', capture: name, args, times: 'exact', ...isEmpty });
}
