// The flows on a wire, counted from a capture: what every observer is measured by.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startGenerator, startIn } from '../../test/support/generators.js';
import type { NamespacePair, Side } from '../../test/support/network-namespace.js';
import type { Teardown } from '../../test/support/program.js';

const MARKER = 'procflow: end of capture';
const PATIENCE_MS = 30_000;
const IPV4 = 0x0800;
const TCP = 6;
const UDP = 17;
const ETHERNET_OCTETS = 14;
const FILE_HEADER_OCTETS = 24;
const PACKET_HEADER_OCTETS = 16;

/** IPv4 only; ports are 0 where the protocol has none. */
export interface FiveTuple {
  readonly protocol: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

export interface WireFlow extends FiveTuple {
  packets: number;
  octets: number;
  /** Since 1970. */
  readonly firstMs: number;
  lastMs: number;
}

export function keyOf(tuple: FiveTuple): string {
  const { protocol, source, sourcePort, destination, destinationPort } = tuple;
  return [protocol, source, sourcePort, destination, destinationPort].join(' ');
}

/** @returns ends the capture: every flow that `side` sent or received, by its key */
export async function captureFlows(
  t: Teardown,
  { a: side, b: peer }: NamespacePair,
): Promise<() => Promise<ReadonlyMap<string, WireFlow>>> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-wire-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, 'wire.pcap');
  const options = ['-i', side.interfaceName, '-n', '-s', '96', '-B', '65536', '-Z', 'root'];
  options.push('-U', '--immediate-mode', '-w', path);
  const capture = startIn(t, { namespace: side }, 'tcpdump', ...options, 'ip');
  await capture.line('err', /listening on/);
  return async () => {
    // tcpdump does not read on when it is told to end: what is not in the file by then never is.
    await sendMarker(t, side, peer);
    for (const signal = AbortSignal.timeout(PATIENCE_MS); !readFileSync(path).includes(MARKER);) {
      await delay(50, undefined, { signal });
    }
    await capture.stop('SIGINT');
    const dropped = capture.err.find((line) => /^[1-9]\d* packets dropped by kernel/.test(line));
    if (dropped !== undefined) throw new Error(`tcpdump: ${dropped}`);
    return readFlows(readFileSync(path));
  };
}

/** The last packet of the capture. */
async function sendMarker(t: Teardown, side: Side, peer: Side): Promise<void> {
  const receiver = startGenerator(t, { namespace: peer }, 'udp-server');
  const { port } = await receiver.report('ready');
  const send = `echo '${MARKER}' >/dev/udp/${peer.ipv4}/${Number(port)}`;
  await startIn(t, { namespace: side }, 'bash', '-c', send).success();
}

function readFlows(file: Buffer): ReadonlyMap<string, WireFlow> {
  const flows = new Map<string, WireFlow>();
  for (let at = FILE_HEADER_OCTETS; at < file.length;) {
    const ms = file.readUInt32LE(at) * 1000 + file.readUInt32LE(at + 4) / 1000;
    const captured = file.readUInt32LE(at + 8);
    const frame = file.subarray(at + PACKET_HEADER_OCTETS, at + PACKET_HEADER_OCTETS + captured);
    at += PACKET_HEADER_OCTETS + captured;
    if (frame.readUInt16BE(12) === IPV4) addPacket(flows, frame.subarray(ETHERNET_OCTETS), ms);
  }
  return flows;
}

function addPacket(flows: Map<string, WireFlow>, packet: Buffer, ms: number): void {
  const protocol = packet.readUInt8(9);
  const transport = (packet.readUInt8(0) & 0xf) * 4;
  const hasPorts = protocol === TCP || protocol === UDP;
  const tuple = {
    protocol,
    source: packet.subarray(12, 16).join('.'),
    sourcePort: hasPorts ? packet.readUInt16BE(transport) : 0,
    destination: packet.subarray(16, 20).join('.'),
    destinationPort: hasPorts ? packet.readUInt16BE(transport + 2) : 0,
  };
  const key = keyOf(tuple);
  const flow = flows.get(key) ?? { ...tuple, packets: 0, octets: 0, firstMs: ms, lastMs: ms };
  flow.packets++;
  flow.octets += packet.readUInt16BE(2);
  flow.lastMs = ms;
  flows.set(key, flow);
}
