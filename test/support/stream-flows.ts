// Flows in the one form in which the readers of a stream are compared: our decoder, tshark, nfdump
// and nfacctd.
import type { DecodedMessage, DecodedRecord, MessageHeader } from './decoder/decoded-message.js';
import {
  addressText,
  ntpTimeNs,
  text,
  unixTime,
  unsigned,
  uptimeEpochMs,
} from './decoder/field-values.js';
import type { NfacctdFlow } from './nfacctd.js';

export interface StreamFlow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  /** Of ICMP, type and code. */
  readonly destinationPort: number;
  readonly protocol: number;
  readonly packets: number;
  readonly octets: number;
  /** Milliseconds since 1970, cut. */
  readonly startMs: number;
  readonly endMs: number;
  /** "pid name", "0 " without a process; undefined where the format does not say. */
  readonly sourceProcess?: string;
  readonly destinationProcess?: string;
  /** Name of the process on this host; undefined where the format does not say. */
  readonly localName?: string;
}

/** What a comparison takes in besides key and counters. */
export type FlowPart = 'times' | 'processes' | 'localName';

/** A line a flow, in order: two readers that read the same have the same lines. */
export function flowLines(flows: readonly StreamFlow[], parts: readonly FlowPart[]): string[] {
  return flows.map((flow) => flowLine(flow, parts)).sort();
}

function flowLine(flow: StreamFlow, parts: readonly FlowPart[]): string {
  const words = [
    `${flow.source} ${flow.sourcePort} > ${flow.destination} ${flow.destinationPort}`,
    `protocol ${flow.protocol}, ${flow.packets} packets, ${flow.octets} octets`,
  ];
  if (parts.includes('times')) words.push(`${flow.startMs} to ${flow.endMs}`);
  if (parts.includes('processes')) {
    words.push(`from ${String(flow.sourceProcess)}`, `to ${String(flow.destinationProcess)}`);
  }
  if (parts.includes('localName')) words.push(`by ${String(flow.localName)}`);
  return words.join(', ');
}

/** Flow records of one stream; options data is left out. */
export function decodedFlows(messages: readonly DecodedMessage[]): StreamFlow[] {
  return messages.flatMap((message) =>
    message.records.filter(({ isOptions }) => !isOptions).map((record) => toFlow(message, record)),
  );
}

function toFlow(header: MessageHeader, { fields }: DecodedRecord): StreamFlow {
  const process = (id: number, name: number): string | undefined => {
    const [pid, octets] = [ntopField(fields, id), ntopField(fields, name)];
    return pid === undefined ? undefined : `${unsigned(pid)} ${text(octets)}`;
  };
  const [sourceProcess, destinationProcess] = [process(168, 169), process(375, 376)];
  const local = fields.get('0/40000') ?? fields.get('0/96');
  const localName =
    local === undefined ? localNameOf(sourceProcess, destinationProcess) : text(local);
  const [startMs = 0, endMs = 0] = flowTimesNs(header, fields).map((ns) => Number(ns / 1_000_000n));
  return {
    source: addressText(fields.get('0/8') ?? fields.get('0/27')),
    destination: addressText(fields.get('0/12') ?? fields.get('0/28')),
    sourcePort: unsigned(fields.get('0/7')),
    destinationPort: unsigned(fields.get('0/11')),
    protocol: unsigned(fields.get('0/4')),
    packets: unsigned(fields.get('0/2')),
    octets: unsigned(fields.get('0/1')),
    ...{ startMs, endMs },
    ...(sourceProcess !== undefined && { sourceProcess }),
    ...(destinationProcess !== undefined && { destinationProcess }),
    ...(localName !== undefined && { localName }),
  };
}

/** ntop's element, in IPFIX or v9. */
function ntopField(fields: DecodedRecord['fields'], element: number): Buffer | undefined {
  return fields.get(`35632/${element}`) ?? fields.get(`0/${57472 + element}`);
}

/** The sending process where both are on this host. */
export function localNameOf(source?: string, destination?: string): string | undefined {
  const [first, second] = [source, destination].map((side) => side?.replace(/^\d+ /, ''));
  return first === '' ? second : first;
}

/** Start and end in nanoseconds since 1970, by whichever elements there are. */
export function flowTimesNs(header: MessageHeader, fields: DecodedRecord['fields']): bigint[] {
  return [0, 1].map((end) => {
    const milliseconds = fields.get(`0/${152 + end}`);
    if (milliseconds !== undefined) return BigInt(unixTime(milliseconds)) * 1_000_000n;
    const ntp = fields.get(`0/${154 + end}`) ?? fields.get(`0/${156 + end}`);
    if (ntp !== undefined) return ntpTimeNs(ntp);
    return BigInt(uptimeEpochMs(header, fields.get(`0/${22 - end}`))) * 1_000_000n;
  });
}

type NfdumpRow = Readonly<Record<string, string | number | undefined>>;

/** @param json what `nfdump -o json` prints, in UTC */
export function nfdumpFlows(json: string): StreamFlow[] {
  return (JSON.parse(json) as readonly NfdumpRow[]).map((row) => {
    const number = (key: string): number => Number(row[key] ?? 0);
    const isIcmp = row.proto === 1 || row.proto === 58;
    return {
      source: String(row.src4_addr ?? row.src6_addr),
      destination: String(row.dst4_addr ?? row.dst6_addr),
      sourcePort: number('src_port'),
      destinationPort: isIcmp
        ? number('icmp_type') * 256 + number('icmp_code')
        : number('dst_port'),
      protocol: number('proto'),
      packets: number('in_packets'),
      octets: number('in_bytes'),
      startMs: Date.parse(`${String(row.first)}Z`),
      endMs: Date.parse(`${String(row.last)}Z`),
      localName: String(row.user_name ?? ''),
    };
  });
}

/** Records that nfacctd has summed up in one row, because all their keys are the same, stay one. */
export function fromNfacctd(flow: NfacctdFlow): StreamFlow {
  const { sourceProcess, destinationProcess, ...rest } = flow;
  const [source, destination] = [sourceProcess, destinationProcess].map(
    ({ pid, name }) => `${pid} ${name}`,
  );
  return { ...rest, sourceProcess: source ?? '', destinationProcess: destination ?? '' };
}
