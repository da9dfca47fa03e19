// Answers of the control socket in softflowd's words and columns, with procflow's figures; what softflowd
// does not have stands behind them.
import type { SessionStatistics, InterfaceState } from '../daemon/control/meter-control.js';
import type { ProcessTraffic } from '../daemon/control/process-traffic.js';
import type { Extent, FlowStatisticsSummary } from '../daemon/flow-statistics.js';
import type { CollectorStatistics, CollectorTemplates } from '../daemon/open-exporters.js';
import type { FlowTimeouts } from '../flow/flow-timeouts.js';
import { padEnd, printable } from './printable.js';

interface Text {
  readonly text: string;
  readonly more: () => readonly string[];
}

/** Protocol numbers as /etc/protocols has them. */
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'icmp',
  2: 'igmp',
  4: 'ipencap',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  41: 'ipv6',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  58: 'ipv6-icmp',
  89: 'ospf',
  103: 'pim',
  112: 'vrrp',
  132: 'sctp',
  136: 'udplite',
};

export function statisticsText(statistics: SessionStatistics): Text {
  const since = new Date(statistics.sinceMs).toISOString().replace(/\.\d+Z$/, '');
  return {
    text: `Accumulated statistics since ${since} UTC:`,
    more: () => [
      ...packetLines(statistics),
      ...(statistics.flows.flows === 0 ? [] : ['\n', ...flowLines(statistics.flows)]),
      ...ownLines(statistics),
    ],
  };
}

function packetLines({ activeFlows, counters, flows, collectors }: SessionStatistics): string[] {
  const count = (name: keyof NonNullable<typeof counters>): number => counters?.[name] ?? 0;
  const ignored = count('NON_IP_FRAMES') + count('MALFORMED_PACKETS');
  const lost = count('LOST_PACKETS');
  // Those that are lost were metered before.
  const seen = count('METERED_PACKETS') + count('NOT_SAMPLED_PACKETS') + ignored;
  const sum = (value: (collector: CollectorStatistics) => number): number =>
    collectors.reduce((total, collector) => total + value(collector), 0);
  const records = sum((collector) => collector.records);
  // Each of these records holds two flows.
  const exported = records + sum((collector) => collector.biflows);
  const messages = sum((collector) => collector.messages);
  const failures = sum((collector) => collector.sendErrors);
  return [
    `Number of active flows: ${activeFlows}`,
    `Packets processed: ${count('METERED_PACKETS')}`,
    `Fragments: ${count('FRAGMENTS_UNMATCHED')} without their first one`,
    `Ignored packets: ${ignored} (${count('NON_IP_FRAMES')} non-IP, ` +
      `${count('MALFORMED_PACKETS')} too short)`,
    `Flows expired: ${flows.flows} (${flows.reasons.maxflows} forced)`,
    `Flows exported: ${exported} (${records} records) in ${messages} packets (${failures} failures)`,
    `Packets received by eBPF: ${seen}`,
    `Packets dropped by eBPF: ${lost}`,
  ].map((line) => `${line}\n`);
}

function flowLines({ octets, packets, durationS, reasons, protocols }: FlowStatisticsSummary) {
  const reason = (name: string, count: number): string =>
    `${name.padStart(10)} = ${String(count).padStart(9)}`;
  return [
    'Expired flow statistics:  minimum       average       maximum',
    extentLine('Flow bytes:', octets, 0, ' '),
    extentLine('Flow packets:', packets, 0, ' '),
    extentLine('Duration:', durationS, 2, 's'),
    '',
    'Expired flow reasons:',
    ...[
      [reason('tcp', reasons.tcp), ` tcp.rst = ${column(reasons['tcp.rst'])}`],
      [reason('udp', reasons.udp), `    icmp = ${column(reasons.icmp)}`],
    ].map(([first = '', second = ''], i) => {
      const third =
        i === 0
          ? ` tcp.fin = ${column(reasons['tcp.fin'])}`
          : ` general = ${column(reasons.general)}`;
      return `${first}  ${second}  ${third}`;
    }),
    reason('maxlife', reasons.maxlife),
    reason('over 2 GiB', 0),
    reason('maxflows', reasons.maxflows),
    reason('flushed', reasons.flushed),
    '',
    'Per-protocol statistics:     Octets      Packets   Avg Life    Max Life',
    ...protocols.map(({ protocol, ...each }) => {
      const name = `${PROTOCOLS[protocol] ?? 'Unknown'} (${protocol})`.padStart(19);
      const counts = `${String(each.octets).padStart(14)} ${String(each.packets).padStart(12)}`;
      const lives = [each.averageLifeS, each.longestLifeS].map(
        (seconds) => `${seconds.toFixed(2).padStart(11)}s`,
      );
      return `${name}: ${counts}${lives.join('')}`;
    }),
  ].map((line) => `${line}\n`);
}

function column(count: number): string {
  return String(count).padStart(9);
}

/** The columns end where softflowd's do. */
function extentLine(
  name: string,
  extent: Extent | undefined,
  digits: number,
  unit: string,
): string {
  const { least = 0, average = 0, most = 0 } = extent ?? {};
  const texts = [least, average, most].map((value) => value.toFixed(digits).padStart(12));
  return `  ${name.padEnd(19)}${texts.join(`${unit} `)}${unit.trim()}`;
}

function ownLines(statistics: SessionStatistics): string[] {
  const { counters, collectors, deleted, recordsNotWritten, isGathering } = statistics;
  const lines = ['', 'procflow:'];
  if (!isGathering) lines.push('  data collection is stopped (start-gather resumes it)');
  if (deleted.records > 0) {
    const { records, packets, octets } = deleted;
    lines.push(`  deleted by delete-all: ${records} flows, ${packets} packets, ${octets} octets`);
  }
  if (recordsNotWritten > 0)
    lines.push(`  records that could not be written: ${recordsNotWritten}`);
  for (const { destination, records, messages, octets, ...more } of collectors) {
    const { templates, lostRecords, lastError } = more;
    const lost = lostRecords === 0 ? '' : `, LOST ${lostRecords} records`;
    const error = lastError === undefined ? '' : ` (${printable(lastError)})`;
    const sent = `${records} records and ${templates} templates in ${messages} packets`;
    lines.push(`  ${printable(destination)}: ${sent}, ${octets} octets${lost}${error}`);
  }
  for (const [name, value] of Object.entries(counters ?? {})) lines.push(`  ${name}: ${value}`);
  return lines.map((line) => `${line}\n`);
}

export function timeoutsText(timeouts: FlowTimeouts, sweepIntervalMs: number): Text {
  const rows = [
    ['TCP timeout', timeouts.tcp],
    ['TCP post-RST timeout', timeouts['tcp.rst']],
    ['TCP post-FIN timeout', timeouts['tcp.fin']],
    ['UDP timeout', timeouts.udp],
    ['ICMP timeout', timeouts.icmp],
    ['General timeout', timeouts.general],
    ['Maximum lifetime', timeouts.maxlife],
    ['Expiry interval', sweepIntervalMs],
  ] as const;
  return {
    text: 'Printing timeouts:',
    // 0 is softflowd's word for a lifetime without an end.
    more: () =>
      rows.map(([name, ms]) => `${name.padStart(22)}: ${Number.isFinite(ms) ? ms / 1000 : 0}s\n`),
  };
}

const RESENT = {
  now: 'is sent its templates now',
  'once a session': 'is sent templates once a session, nothing is lost in it',
  'no templates': 'gets a format without templates',
} as const;

export function templatesText(templates: readonly CollectorTemplates[]): Text {
  const count = templates.filter(({ sent }) => sent === 'now').length;
  return {
    text: `Templates are sent now to ${count} of ${templates.length} collectors`,
    more: () =>
      templates.map(({ destination, sent }) => `  ${printable(destination)} ${RESENT[sent]}\n`),
  };
}

export function interfacesText(interfaces: readonly InterfaceState[]): Text {
  return {
    text: 'Interfaces:',
    more: () =>
      table(
        ['INDEX', 'NAME', 'METERED', 'DESCRIPTION'],
        interfaces.map(({ index, name, isMetered, description }) => [
          String(index),
          printable(name),
          isMetered ? 'yes' : 'no',
          printable(description),
        ]),
      ),
  };
}

export function processesText(processes: readonly ProcessTraffic[]): Text {
  return {
    text: `Processes with most octets in flows that go on: ${processes.length}`,
    more: () =>
      table(
        ['OCTETS OUT', 'OCTETS IN', 'FLOWS', 'PID', 'USER', 'PROCESS'],
        processes.map(({ octetsSent, octetsReceived, flows, pid, user, name }) => [
          ...[octetsSent, octetsReceived, flows, pid].map(String),
          printable(user),
          printable(name),
        ]),
      ),
  };
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [titles, ...rows];
  const widths = titles.map((_, i) => Math.max(...lines.map((cells) => (cells[i] ?? '').length)));
  return lines.map((cells) => {
    const padded = cells.map((cell, i) => padEnd(cell, widths[i] ?? 0));
    return `${padded.join('  ').trimEnd()}\n`;
  });
}
