// The flows of a stream as tshark reads them, with their times, from messages of any version.
import { localNameOf, type StreamFlow } from './stream-flows.js';
import { tshark } from './pcap.js';

interface Tree {
  readonly [key: string]: Tree | string | undefined;
}

/** What all records of a message share. */
interface Header {
  /** Of sysUptime 0, milliseconds since 1970; of v1, v5 and v9 only. */
  readonly zeroMs: number;
}

export interface TsharkFlow extends StreamFlow {
  /** To the nanosecond, as tshark writes them; IPFIX only. */
  readonly times: readonly [start: string, end: string];
}

/** @param path of a capture that writePcap() made, or of an IPFIX file */
export function tsharkFlows(path: string): TsharkFlow[] {
  const frames = JSON.parse(
    tshark(path, ['-Y', 'cflow', '-T', 'json', '-J', 'cflow']),
  ) as readonly {
    _source: { layers: { cflow?: Tree | Tree[] } };
  }[];
  const flows: TsharkFlow[] = [];
  for (const { _source } of frames) {
    // A file is one frame a message; a datagram has one message.
    for (const message of [_source.layers.cflow ?? {}].flat()) {
      const sysUptimeMs = Number(message['cflow.sysuptime'] ?? 0) * 1000;
      const timeMs = Date.parse(shortened(find(message, 'cflow.timestamp') ?? ''));
      findFlows(message, { zeroMs: Math.round(timeMs - sysUptimeMs) }, flows);
    }
  }
  return flows;
}

/** Date.parse() knows milliseconds at most. */
function shortened(time: string): string {
  return time.replace(/(\.\d{3})\d*/, '$1');
}

/** Every subtree with octets in it is a flow record. */
function findFlows(tree: Tree, header: Header, found: TsharkFlow[]): void {
  if (tree['cflow.octets'] !== undefined || tree['cflow.octets64'] !== undefined) {
    found.push(toFlow(tree, header));
    return;
  }
  for (const value of Object.values(tree)) {
    if (typeof value === 'object') findFlows(value, header, found);
  }
}

function toFlow(record: Tree, { zeroMs }: Header): TsharkFlow {
  const word = (...names: readonly string[]): string => {
    for (const name of names) {
      const value = find(record, `cflow.${name}`);
      if (value !== undefined) return value;
    }
    return '';
  };
  const side = (from: string, id: string): string =>
    `${Number(word(`pie.ntop.${id}`))} ${word(`pie.ntop.${from}_proc_name`)}`;
  const [source, destination] = [side('src', 'src_proc_id'), side('dst', 'dst_proc_pid')];
  const times = [word('abstimestart'), word('abstimeend')] as const;
  const timeMs = (absolute: string, uptime: string): number =>
    absolute === '' ? zeroMs + Math.round(Number(uptime) * 1000) : Date.parse(shortened(absolute));
  return {
    source: word('srcaddr', 'srcaddrv6'),
    destination: word('dstaddr', 'dstaddrv6'),
    sourcePort: Number(word('srcport')),
    destinationPort: Number(word('dstport')),
    protocol: Number(word('protocol')),
    packets: Number(word('packets', 'packets64')),
    octets: Number(word('octets', 'octets64')),
    startMs: timeMs(times[0], word('timestart')),
    endMs: timeMs(times[1], word('timeend')),
    times,
    sourceProcess: source,
    destinationProcess: destination,
    localName: word('aaa_username', 'appl_name') || (localNameOf(source, destination) ?? ''),
  };
}

/** A field may stand one or two levels below the record. */
function find(tree: Tree, name: string): string | undefined {
  const value = tree[name];
  if (typeof value === 'string') return value;
  for (const part of Object.values(tree)) {
    const found = typeof part === 'object' ? find(part, name) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}
