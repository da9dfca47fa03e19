// What a soak found, as Markdown.
import type { Finding } from '../../test/soak/soak-findings.js';
import type { SoakResult } from '../../test/soak/soak.js';
import { machineFacts } from '../support/machine.js';

export function soakReport(result: SoakResult, findings: readonly Finding[]): string {
  const { events, seconds, records, wire } = result;
  const machine = machineFacts();
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const killed =
    events.daemonStarts > 1
      ? `The daemon was killed (-9) ${events.daemonStarts - 1} times and took over what it found.`
      : 'The daemon ran all the time.';
  return `# Soak

Written by \`make soak MINUTES=${seconds / 60}\`, ${date}, on ${machine.kernel}, ${machine.cores} cores, Node
${machine.node}, load ${machine.load}.

${events.conversations} conversations (TCP and UDP, IPv4 and IPv6, each between two processes of its own) and bursts (UDP
to 500 ports, frames of 50 flows) in ${seconds} s: ${wire.packets} packets on the wire, ${records} flow records. ${events.passingInterfaces}
interfaces came, carried packets and went. The collector over TCP was killed ${events.tcpCollectorStarts - 1} times, nfcapd ended
${events.udpCollectorStarts - 1} times; both were started again. ${killed}

| what | found | |
|---|---|---|
${findings.map(({ what, found, isMet }) => `| ${what} | ${found} | ${isMet ? 'as it must be' : '**NOT MET**'} |`).join('\n')}
`;
}
