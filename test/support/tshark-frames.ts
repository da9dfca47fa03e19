// The flows that the frames of a capture file make, by what tshark tells of each frame: the outermost
// IP header, in one direction, with the ports of the first fragment.
import { spawnSync } from 'node:child_process';

export interface ExpectedFlow {
  packets: number;
  octets: number;
  /** Milliseconds since 1970, cut. */
  startMs: number;
  endMs: number;
}

const FIELDS = [
  ...['frame.time_epoch', 'ip.src', 'ip.dst', 'ip.proto', 'ip.len', 'ip.id', 'ip.frag_offset'],
  ...['ipv6.src', 'ipv6.dst', 'ipv6.nxt', 'ipv6.plen', 'ipv6.hopopts.nxt', 'ipv6.fraghdr.nxt'],
  ...['ipv6.fraghdr.ident', 'ipv6.fraghdr.offset'],
  ...['tcp.srcport', 'tcp.dstport', 'udp.srcport', 'udp.dstport'],
  ...['icmp.type', 'icmp.code', 'icmp.ident', 'icmpv6.type', 'icmpv6.code'],
  ...['icmpv6.echo.identifier', 'ip.flags.mf'],
] as const;
type Field = (typeof FIELDS)[number];
type Row = Readonly<Record<Field, string>>;

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;
const IPV6_HEADER_OCTETS = 40;

/** By their key: see flowKey. */
export function tsharkFlowsOf(path: string): Map<string, ExpectedFlow> {
  const flows = new Map<string, ExpectedFlow>();
  const fragments = new Map<string, string>();
  for (const row of readRows(path)) {
    const [source, destination] = [
      row['ip.src'] || row['ipv6.src'],
      row['ip.dst'] || row['ipv6.dst'],
    ];
    if (source === '') continue;
    const key = keyOf(row, source, destination, fragments);
    const ms = cutToMs(row['frame.time_epoch']);
    const octets =
      row['ip.src'] === '' ? Number(row['ipv6.plen']) + IPV6_HEADER_OCTETS : Number(row['ip.len']);
    const flow = flows.get(key) ?? { packets: 0, octets: 0, startMs: ms, endMs: ms };
    flow.packets++;
    flow.octets += octets;
    flow.startMs = Math.min(flow.startMs, ms);
    flow.endMs = Math.max(flow.endMs, ms);
    flows.set(key, flow);
  }
  return flows;
}

interface KeyFields {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** Ports; for ICMP its identifier, and type * 256 + code. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export function flowKey({
  source,
  destination,
  protocol,
  sourcePort,
  destinationPort,
}: KeyFields): string {
  return `${protocol} ${source} ${sourcePort} -> ${destination} ${destinationPort}`;
}

/** Each field's first value: that of the outermost header. */
function readRows(path: string): Row[] {
  const args = ['-n', '-r', path, '-o', 'ip.defragment:FALSE', '-o', 'ipv6.defragment:FALSE'];
  const fields = FIELDS.flatMap((field) => ['-e', field]);
  const { stdout, status } = spawnSync(
    'tshark',
    [...args, '-T', 'fields', '-E', 'occurrence=f', ...fields],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  if (status !== 0) throw new Error(`tshark does not read ${path}`);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const values = line.split('\t');
      return Object.fromEntries(FIELDS.map((field, i) => [field, values[i] ?? ''])) as Row;
    });
}

function keyOf(
  row: Row,
  source: string,
  destination: string,
  fragments: Map<string, string>,
): string {
  const isV4 = row['ip.src'] !== '';
  const header = row['ipv6.fraghdr.nxt'] || row['ipv6.hopopts.nxt'] || row['ipv6.nxt'];
  const protocol = Number(isV4 ? row['ip.proto'] : header);
  const id = isV4 ? row['ip.id'] : row['ipv6.fraghdr.ident'];
  const packet = [source, destination, isV4 ? protocol : '', id].join(' ');
  const offset = Number((isV4 ? row['ip.frag_offset'] : row['ipv6.fraghdr.offset']) || '0');
  const first = fragments.get(packet);
  if (offset > 0 && first !== undefined) return first;
  const [sourcePort, destinationPort] = offset > 0 ? [0, 0] : portsOf(row, protocol);
  const key = flowKey({ source, destination, protocol, sourcePort, destinationPort });
  if (row['ip.flags.mf'] === '1' || row['ipv6.fraghdr.ident'] !== '') fragments.set(packet, key);
  return key;
}

/** Those that an ICMP error quotes are tshark's only ones in that frame. */
function portsOf(row: Row, protocol: number): [number, number] {
  const ports = (...fields: readonly Field[]): number =>
    Number(fields.map((field) => row[field]).find((value) => value !== '') ?? 0);
  switch (protocol) {
    case TCP:
      return [ports('tcp.srcport'), ports('tcp.dstport')];
    case UDP:
      return [ports('udp.srcport'), ports('udp.dstport')];
    case ICMP: {
      const id = ports('icmp.ident', 'udp.srcport', 'tcp.srcport');
      return [id, ports('icmp.type') * 256 + ports('icmp.code')];
    }
    case ICMPV6: {
      const id = ports('icmpv6.echo.identifier', 'udp.srcport', 'tcp.srcport');
      return [id, ports('icmpv6.type') * 256 + ports('icmpv6.code')];
    }
    default:
      return [0, 0];
  }
}

/** "1445324973.611190000", which as a double would be rounded. */
function cutToMs(time: string): number {
  const [seconds = '', fraction = ''] = time.split('.');
  return Number(seconds) * 1000 + Number(fraction.slice(0, 3));
}
