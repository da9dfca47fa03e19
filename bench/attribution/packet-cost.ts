// What procflow adds to a packet: BPF_PROG_TEST_RUN of the packet programs, and of empty ones. The
// packet is one of a flow that is in the cache, and whose process is not found, so that it is looked
// for again as often as it ever is.
import {
  BpfObject,
  type CaptureMode,
  type LoadedPrograms,
} from '../../src/bpf-loader/bpf-object.js';
import { testRunArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { openNetworkNamespace } from '../../src/bpf-loader/network-namespace.js';
import { createNamespacePair } from '../../test/support/network-namespace.js';
import { ethernet, ipv4, ipv6, udp } from '../../test/support/packet-bytes.js';
import type { Teardown } from '../../test/support/program.js';
import { loadEmptyTwin } from '../empty-twin.js';

const SKB_OCTETS = 192; // struct __sk_buff
const IFINDEX_OFFSET = 40;
const VETH = 2; // the first interface of a namespace after lo
const UDP = 17;

/** Nanoseconds a packet, one value a round. */
export interface PacketTimes {
  readonly packet: string;
  readonly empty: readonly number[];
  readonly procflow: readonly number[];
}

const PACKETS = [
  { packet: 'IPv4 out', program: 'flow_egress', frame: frameV4 },
  { packet: 'IPv4 in', program: 'flow_ingress', frame: frameV4 },
  { packet: 'IPv6 out', program: 'flow_egress', frame: frameV6 },
  { packet: 'IPv6 in', program: 'flow_ingress', frame: frameV6 },
] as const;

const PACKETS_OF_SOCKETS = [
  { packet: 'IPv4 out of a socket', program: 'socket_egress', frame: frameV4 },
  { packet: 'IPv4 in to a socket', program: 'socket_ingress', frame: frameV4 },
  { packet: 'IPv6 out of a socket', program: 'socket_egress', frame: frameV6 },
  { packet: 'IPv6 in to a socket', program: 'socket_ingress', frame: frameV6 },
] as const;

type Packet = (typeof PACKETS | typeof PACKETS_OF_SOCKETS)[number];

interface Rounds {
  readonly rounds: number;
  readonly repeat: number;
}

function frameV4(port: number): Buffer {
  return ethernet('ipv4', ipv4({ protocol: UDP }, udp(18, [port, 53])));
}

function frameV6(port: number): Buffer {
  return ethernet('ipv6', ipv6({ nextHeader: UDP }, udp(18, [port, 53])));
}

export function measurePacketCost(t: Teardown, rounds: Rounds): readonly PacketTimes[] {
  // A wire: loopback would have processes at both ends in one place, and one end in the other.
  const { path } = createNamespacePair(t).a;
  const namespace = openNetworkNamespace(path, loadLibc());
  t.teardown(() => namespace.close());
  return namespace.run(() => [
    ...measure(t, 'interface', PACKETS, rounds),
    ...measure(t, 'sockets', PACKETS_OF_SOCKETS, rounds),
  ]);
}

function measure(
  t: Teardown,
  capture: CaptureMode,
  packets: readonly Packet[],
  { rounds, repeat }: Rounds,
): readonly PacketTimes[] {
  const real = BpfObject.load({ maxEntries: {}, capture });
  t.teardown(() => real.close());
  const twin = loadEmptyTwin(real.unavailable);
  t.teardown(() => twin.close());
  const context = Buffer.alloc(SKB_OCTETS);
  context.writeUInt32LE(VETH, IFINDEX_OFFSET);
  return packets.map(({ packet, program, frame }) => {
    const [empty, procflow]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      // Each test run has a socket of its own, and only a flow's own socket is what usually sends it.
      const run = { packet: frame(1000 + round), context, repeat };
      empty.push(runPacket(twin, program, run));
      procflow.push(runPacket(real, program, run));
    }
    return { packet, empty, procflow };
  });
}

function runPacket(
  programs: LoadedPrograms,
  program: string,
  run: Parameters<typeof testRunArgument>[0],
): number {
  const argument = testRunArgument(run);
  const result = programs.libbpf.testRun(programs.programFd(program), argument);
  if (result < 0) throw programs.error(-result, `run ${program}`);
  return argument.duration;
}
