// 23 packets sent are 23 packets, with their exact octets, in the exporter's records as tshark
// decodes them and in nfdump: each protocol, with tags, options, extension headers and fragments.
import t from 'tap';
import { runGenerator, startGenerator, type Place } from '../support/generators.js';
import {
  startSession,
  sumFlows,
  type MeteringSession,
  type SessionResult,
} from '../support/metering-session.js';
import { addVlan, kernelHasVlans, type NamespacePair } from '../support/network-namespace.js';
import type { Report, Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const PACKETS = 23;
const UDP = 17;
const UNKNOWN_PROTOCOL = 253;
const FAMILIES = ['ipv4', 'ipv6'] as const;
type Family = (typeof FAMILIES)[number];

interface Sent {
  readonly name: string;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** Absent where the protocol has no ports. */
  readonly port?: number;
  readonly packets: number;
  readonly octets: number;
}

/** Where a case sends from and to: the wire itself, or a VLAN on it. */
interface Scene {
  readonly t: Teardown;
  readonly a: Place;
  readonly b: Place;
  readonly pair: NamespacePair;
  readonly family: Family;
  readonly port: number;
}

interface Case {
  readonly name: string;
  readonly families: readonly Family[];
  readonly protocol: (family: Family) => number;
  readonly send: (scene: Scene) => Promise<Report>;
  /** Where the generator cannot know: packets and octets on the wire. */
  readonly onWire?: (family: Family) => { packets: number; octets: number };
}

/** Through sockets: the receiver is there, so that no ICMP error comes back. */
function datagrams(size: number, ...options: string[]): Case['send'] {
  return async ({ t, a, b, pair, family, port }) => {
    const server = startGenerator(t, b, 'udp-server', '--port', port, '--count', PACKETS);
    await server.report('ready');
    const to = ['--to', pair.b[family], '--port', port, '--count', PACKETS, '--size', size];
    const report = await runGenerator(t, a, 'udp-client', ...to, ...options);
    await server.success();
    return report;
  };
}

/** Through AF_PACKET: no socket of the IP stack, no queueing discipline's help, no linear data. */
function frames(...options: (string | number)[]): Case['send'] {
  return ({ t, a, pair, family, port }) => {
    const ends = ['--source', pair.a[family], '--to', pair.b[family], '--port', port];
    const link = ['--interface', pair.a.interfaceName, '--destination-mac', pair.b.mac];
    return runGenerator(t, a, 'frame-sender', ...link, ...ends, '--count', PACKETS, ...options);
  };
}

const udp = (): number => UDP;

const CASES: readonly Case[] = [
  { name: 'UDP', families: FAMILIES, protocol: udp, send: datagrams(100) },
  { name: 'empty UDP datagrams', families: FAMILIES, protocol: udp, send: datagrams(0) },
  {
    name: 'UDP with IP options or extension headers',
    families: FAMILIES,
    protocol: udp,
    send: datagrams(100, '--ip-options'),
  },
  {
    name: 'datagrams that the kernel fragments',
    families: FAMILIES,
    protocol: udp,
    send: datagrams(4000),
    // 4008 octets in pieces of 1480 behind 20 octets of header, or of 1448 behind 48
    onWire: (family) => ({
      packets: 3 * PACKETS,
      octets: PACKETS * (4008 + 3 * (family === 'ipv4' ? 20 : 48)),
    }),
  },
  {
    name: 'echo requests',
    families: FAMILIES,
    protocol: (family) => (family === 'ipv4' ? 1 : 58),
    send: ({ t, a, pair, family }) =>
      runGenerator(t, a, 'icmp-echo', '--to', pair.b[family], '--count', PACKETS),
  },
  {
    name: 'a protocol that the kernel does not know',
    families: FAMILIES,
    protocol: () => UNKNOWN_PROTOCOL,
    send: ({ t, a, pair, family }) => {
      const where = ['--to', pair.b[family], '--protocol', UNKNOWN_PROTOCOL];
      return runGenerator(t, a, 'raw-sender', ...where, '--count', PACKETS, '--ip-options');
    },
  },
  { name: 'AF_PACKET frames', families: FAMILIES, protocol: udp, send: frames() },
  { name: 'tagged frames', families: FAMILIES, protocol: udp, send: frames('--vlan', 23) },
  {
    name: 'frames with two tags',
    families: FAMILIES,
    protocol: udp,
    send: frames('--vlan', 23, '--inner-vlan', 42),
  },
  {
    name: 'frames with IP options',
    families: ['ipv4'],
    protocol: udp,
    send: frames('--ip-options'),
  },
  {
    name: 'frames with two extension headers',
    families: ['ipv6'],
    protocol: udp,
    send: frames('--extension-headers'),
  },
  {
    name: 'fragments of one datagram, options or extension headers in each',
    families: FAMILIES,
    protocol: udp,
    send: frames('--fragments', PACKETS, '--ip-options', '--extension-headers'),
  },
];

async function send(
  t: Teardown,
  { a, b }: MeteringSession,
  pair: NamespacePair,
  cases: readonly Case[],
): Promise<readonly Sent[]> {
  const sent: Sent[] = [];
  let port = 20_000;
  for (const { name, families, protocol, send, onWire } of cases) {
    for (const family of families) {
      port++;
      const report = await send({ t, a, b, pair, family, port });
      const own = { packets: Number(report.packets), octets: Number(report.octets) };
      sent.push({
        name: `${name}, ${family}`,
        source: pair.a[family],
        destination: pair.b[family],
        protocol: protocol(family),
        ...(protocol(family) === UDP && { port }),
        ...(onWire?.(family) ?? own),
      });
    }
  }
  return sent;
}

interface Tap {
  match(found: unknown, wanted: unknown, message: string): boolean;
}

interface AnyFlow {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly destinationPort: number;
}

function belongsTo(sent: Sent): (flow: AnyFlow) => boolean {
  return (flow) =>
    flow.protocol === sent.protocol &&
    flow.source === sent.source &&
    flow.destination === sent.destination &&
    (sent.port === undefined || flow.destinationPort === sent.port);
}

function compare(t: Tap, sent: readonly Sent[], { nfdump, decoded }: SessionResult): void {
  for (const flow of sent) {
    const expected = { packets: flow.packets, octets: flow.octets };
    t.match(sumFlows(decoded, belongsTo(flow)), expected, `${flow.name}: exported`);
    t.match(sumFlows(nfdump, belongsTo(flow)), expected, `${flow.name}: nfdump`);
  }
}

for (const version of [9, 10] as const) {
  const title = `${PACKETS} packets sent are ${PACKETS} in every count, version ${version}`;
  t.test(title, { skip: missingRequirement() }, async (t) => {
    const session = await startSession(t, { version });
    const sent = await send(t, session, session.pair, CASES);
    const result = await session.finish();

    compare(t, sent, result);
    const { summary, wire, nfdump } = result;
    const wirePackets = wire.sentPackets + wire.receivedPackets;
    t.equal(summary.counter('NON_IP_FRAMES'), 0, 'nothing but IP was on the wire');
    t.equal(summary.counter('METERED_PACKETS'), wirePackets, "the kernel's packets");
    t.equal(summary.counter('MALFORMED_PACKETS'), 0);
    t.equal(summary.counter('LOST_PACKETS'), 0);
    t.equal(summary.counter('FRAGMENTS_UNMATCHED'), 0);
    t.equal(sumFlows(nfdump).packets, wirePackets, "nfdump's packets");
  });
}

// Tagged frames are among the cases above; this adds the kernel's own tagging, where it has that.
if (missingRequirement() === false && kernelHasVlans()) {
  t.test('so they are on a VLAN interface', async (t) => {
    const session = await startSession(t, { version: 10 });
    const cases = CASES.filter(({ name }) => !name.includes('rames'));
    const sent = await send(t, session, addVlan(session.pair, 7), cases);
    compare(t, sent, await session.finish());
  });
}
