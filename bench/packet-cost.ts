// What procflow adds to a packet: BPF_PROG_TEST_RUN of the packet programs, and of empty ones. The
// packet is one of a flow that is in the cache, and whose process is not found, so that it is looked
// for again as often as it ever is.
import { BpfObject, type LoadedPrograms } from '../src/bpf-loader/bpf-object.js';
import { testRunArgument } from '../src/bpf-loader/native/libbpf-arguments.js';
import { ethernet, ipv4, ipv6, udp } from '../test/support/packet-bytes.js';
import type { Teardown } from '../test/support/program.js';
import { loadEmptyTwin } from './empty-twin.js';

const SKB_OCTETS = 192; // struct __sk_buff
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

function frameV4(port: number): Buffer {
  return ethernet('ipv4', ipv4({ protocol: UDP }, udp(18, [port, 53])));
}

function frameV6(port: number): Buffer {
  return ethernet('ipv6', ipv6({ nextHeader: UDP }, udp(18, [port, 53])));
}

export function measurePacketCost(
  t: Teardown,
  { rounds, repeat }: { readonly rounds: number; readonly repeat: number },
): readonly PacketTimes[] {
  const real = BpfObject.load({ maxEntries: {} });
  t.teardown(() => real.close());
  const twin = loadEmptyTwin(real.unavailable);
  t.teardown(() => twin.close());
  return PACKETS.map(({ packet, program, frame }) => {
    const [empty, procflow]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      // Each test run has a socket of its own, and only a flow's own socket is what usually sends it.
      const bytes = frame(1000 + round);
      empty.push(runPacket(twin, program, bytes, repeat));
      procflow.push(runPacket(real, program, bytes, repeat));
    }
    return { packet, empty, procflow };
  });
}

function runPacket(
  programs: LoadedPrograms,
  program: string,
  packet: Buffer,
  repeat: number,
): number {
  const argument = testRunArgument({ packet, context: Buffer.alloc(SKB_OCTETS), repeat });
  const result = programs.libbpf.testRun(programs.programFd(program), argument);
  if (result < 0) throw programs.error(-result, `run ${program}`);
  return argument.duration;
}
