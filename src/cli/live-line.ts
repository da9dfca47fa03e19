// A flow record as one line for people: who talked to whom, how much and for how long.
import type { FlowContext } from '../daemon/run-meter.js';
import {
  ATTRIBUTION_METHOD,
  FLOW_DIRECTION,
  FLOW_FLAG,
  FLOW_RECORD,
} from '../flow/flow-contract.gen.js';
import { epochMs, type BootEpoch } from '../flow/clock.js';
import type { FlowRecord, FlowSide } from '../flow/flow-record.js';
import { nonProcessKind, type NonProcessNames } from '../flow/non-process-names.js';
import { displayWidth, padEnd, padStart, printable } from './printable.js';
import type { Paint } from './terminal-style.js';

const LIVE_COLUMNS = [
  { name: 'time', title: 'TIME', width: 12, maxWidth: 12, align: 'left' },
  { name: 'process', title: 'PROCESS', width: 32, maxWidth: 52, align: 'left' },
  { name: 'user', title: 'USER', width: 9, maxWidth: 32, align: 'left' },
  { name: 'flow', title: 'FLOW', width: 44, maxWidth: 98, align: 'left' },
  { name: 'protocol', title: 'PROTO', width: 6, maxWidth: 14, align: 'left' },
  { name: 'octets', title: 'OCTETS', width: 10, maxWidth: 16, align: 'right' },
  { name: 'packets', title: 'PACKETS', width: 8, maxWidth: 16, align: 'right' },
  { name: 'duration', title: 'DURATION', width: 9, maxWidth: 12, align: 'right' },
] as const;

type ColumnName = (typeof LIVE_COLUMNS)[number]['name'];
type LiveRow = Readonly<Record<ColumnName, string>>;

interface Column {
  readonly name: ColumnName;
  readonly title: string;
  readonly width: number;
  readonly maxWidth: number;
  readonly align: 'left' | 'right';
}

/** Of a capture file: it is of any day, and nothing is known of its processes. */
const REPLAY_COLUMNS: readonly Column[] = LIVE_COLUMNS.filter(
  ({ name }) => name !== 'process' && name !== 'user',
).map((column) =>
  column.name === 'time' ? { ...column, title: 'START', width: 23, maxWidth: 23 } : column,
);

/** Protocol numbers as IANA names them; those that people meet. */
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  2: 'IGMP',
  4: 'IPv4',
  6: 'TCP',
  17: 'UDP',
  33: 'DCCP',
  41: 'IPv6',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  58: 'ICMPv6',
  89: 'OSPF',
  103: 'PIM',
  112: 'VRRP',
  132: 'SCTP',
  136: 'UDPLite',
};
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);
const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);

type NameContext = Pick<FlowContext, 'directory' | 'nonProcessNames'>;

/** @param bootEpoch as KernelClock gives it */
export function liveRow(
  record: FlowRecord,
  bootEpoch: BootEpoch,
  { directory, nonProcessNames }: NameContext,
): LiveRow {
  const { sides, arrow } = orient(record);
  const [left] = sides;
  const right = left === 'source' ? 'destination' : 'source';
  const join = (texts: readonly string[]): string => [...new Set(texts)].join(' -> ');
  const users = sides.map((side) =>
    record.hasProcess(side) ? printable(directory.userName(record.uid(side))) : '-',
  );
  return {
    time: startText(record, bootEpoch),
    process: sides.map((side) => processText(record, side, nonProcessNames)).join(' -> '),
    user: join(users),
    flow: `${endpointText(record, left)} ${arrow} ${endpointText(record, right)}`,
    protocol: protocolText(record),
    octets: record.octets.toString(),
    packets: record.packets.toString(),
    duration: `${(Number(record.lastNs - record.firstNs) / 1e9).toFixed(3)}s`,
  };
}

/** The sides whose processes are shown, the left one first. */
export function liveSides(record: FlowRecord): readonly FlowSide[] {
  return orient(record).sides;
}

/**
 * Which sides' processes are shown, the left one first, and how the packets went. The process of
 * this host stands on the left also when it received; two of this host, in the packets' order.
 */
function orient(record: FlowRecord): {
  sides: readonly [FlowSide, ...FlowSide[]];
  arrow: '->' | '<-';
} {
  if (record.isReplayed) return { sides: ['source'], arrow: '->' };
  const isSource = isKnown(record, 'source');
  const isDestination = isKnown(record, 'destination');
  if ((record.flags & FLOW_FLAG.FLOW_LOOPBACK) !== 0 || (isSource && isDestination)) {
    return { sides: ['source', 'destination'], arrow: '->' };
  }
  if (isSource) return { sides: ['source'], arrow: '->' };
  const isReceived = record.direction === FLOW_DIRECTION.FLOW_INGRESS && !isForwarded(record);
  if (isDestination || isReceived) return { sides: ['destination'], arrow: '<-' };
  return { sides: ['source'], arrow: '->' };
}

function isKnown(record: FlowRecord, side: FlowSide): boolean {
  const method = record.attributionMethod(side);
  return record.hasProcess(side) || method === ATTRIBUTION_METHOD.ATTRIBUTION_KERNEL;
}

function isForwarded(record: FlowRecord): boolean {
  const { ATTRIBUTION_FORWARDED } = ATTRIBUTION_METHOD;
  return (
    record.attributionMethod('source') === ATTRIBUTION_FORWARDED ||
    record.attributionMethod('destination') === ATTRIBUTION_FORWARDED
  );
}

export function processText(record: FlowRecord, side: FlowSide, names: NonProcessNames): string {
  const pid = record.pid(side);
  if (pid !== 0) return `${printable(record.comm(side))}[${pid}]`;
  const kind = nonProcessKind(record.attributionMethod(side));
  // A forwarded flow says so at one of its sides.
  const name = names[kind === 'unknown' && isForwarded(record) ? 'forwarded' : kind];
  return name === '' ? '-' : printable(name);
}

function endpointText(record: FlowRecord, side: FlowSide): string {
  const address = record.address(side);
  if (!WITH_PORTS.has(record.protocol)) return address;
  const port = side === 'source' ? record.sourcePort : record.destinationPort;
  return record.ipVersion === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

function protocolText(record: FlowRecord): string {
  const { protocol, icmpTypeCode } = record;
  const name = PROTOCOLS[protocol] ?? protocol.toString();
  if (!ICMP_PROTOCOLS.has(protocol)) return name;
  return `${name} ${icmpTypeCode >> 8}/${icmpTypeCode & 0xff}`;
}

/** Local time, as on the clock of whoever is watching; of a capture file the day too. */
function startText(record: FlowRecord, bootEpoch: BootEpoch): string {
  const at = record.offset + FLOW_RECORD.fields.first_ns.offset;
  const date = new Date(epochMs(record.bytes, at, bootEpoch));
  if (!record.isReplayed) return timeOfDay(date);
  const day = [
    date.getFullYear().toString(),
    twoDigits(date.getMonth() + 1),
    twoDigits(date.getDate()),
  ];
  return `${day.join('-')} ${timeOfDay(date)}`;
}

function twoDigits(value: number): string {
  return value.toString().padStart(2, '0');
}

function timeOfDay(date: Date): string {
  const two = twoDigits;
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${time}.${date.getMilliseconds().toString().padStart(3, '0')}`;
}

/** Lays rows out in columns; a column that met a longer text stays as wide, up to its limit. */
export class LiveTable {
  readonly #paint: Paint;
  readonly #columns: readonly Column[];
  readonly #widths: number[];

  constructor(paint: Paint, kind: 'live' | 'replay' = 'live') {
    this.#paint = paint;
    this.#columns = kind === 'live' ? LIVE_COLUMNS : REPLAY_COLUMNS;
    this.#widths = this.#columns.map((column) => column.width);
  }

  header(): string {
    const titles = this.#columns.map((column, i) => this.#pad(column.title, i));
    return this.#paint('bold', titles.join('  '));
  }

  line(row: LiveRow): string {
    return this.#columns
      .map(({ name, maxWidth }, i) => {
        const text = row[name];
        const width = Math.min(maxWidth, displayWidth(text));
        this.#widths[i] = Math.max(this.#widths[i] ?? 0, width);
        const cell = this.#pad(text, i);
        if (name !== 'process') return cell;
        return this.#paint(/\[\d+\]/.test(text) ? 'cyan' : 'dim', cell);
      })
      .join('  ');
  }

  #pad(text: string, column: number): string {
    const width = this.#widths[column] ?? 0;
    return this.#columns[column]?.align === 'right' ? padStart(text, width) : padEnd(text, width);
  }
}
