// All flows together are the interface's own counters, packet for packet and octet for octet; and
// with segmentation offload a packet is still a segment on the wire.
import t from 'tap';
import { runGenerator, startGenerator, type Place } from '../support/generators.js';
import { startSession, sumFlows, type MeteringSession } from '../support/metering-session.js';
import { ETHERNET_OCTETS, setOnBoth } from '../support/network-namespace.js';
import type { Report, Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();
const TCP = 6;
const FAMILIES = ['ipv4', 'ipv6'] as const;

interface TcpRun {
  readonly client: Report;
  readonly server: Report;
}

async function runTcp(
  t: Teardown,
  from: Place,
  to: Place,
  address: string,
  ...client: (string | number)[]
): Promise<TcpRun> {
  const server = startGenerator(t, to, 'tcp-server', '--echo');
  const { port } = await server.report('ready');
  const where = ['--to', address, '--port', Number(port), '--read-echo'];
  const report = await runGenerator(t, from, 'tcp-client', ...where, ...client);
  await server.success();
  return { client: report, server: await server.report('served') };
}

/** Some of everything, in both directions. */
async function runTraffic(t: Teardown, session: MeteringSession): Promise<void> {
  const { a, b, pair } = session;
  for (const family of FAMILIES) {
    await runTcp(t, a, b, pair.b[family], '--octets', 3_000_000);
    await runTcp(t, b, a, pair.a[family], '--octets', 100_000);
    await runGenerator(t, a, 'icmp-echo', '--to', pair.b[family], '--count', 3);
    await runGenerator(t, b, 'icmp-echo', '--to', pair.a[family], '--count', 3);
    // to ports where nobody listens: the ICMP errors are packets too
    const unheard = ['--to', pair.b[family], '--port', 9, '--size', 5000];
    await runGenerator(t, a, 'udp-client', ...unheard, '--flows', 50);
    await runGenerator(t, a, 'raw-sender', '--to', pair.b[family], '--count', 5);
  }
}

t.test('the sum over all flows is what the interface counted', { skip }, async (t) => {
  const session = await startSession(t, { version: 9 });
  await runTraffic(t, session);
  const { summary, wire, nfdump, decoded } = await session.finish();

  const packets = wire.sentPackets + wire.receivedPackets;
  const octets = wire.sentOctets + wire.receivedOctets - ETHERNET_OCTETS * packets;
  t.equal(summary.counter('NON_IP_FRAMES'), 0);
  t.equal(summary.counter('METERED_PACKETS'), packets, "the kernel's packets");
  t.equal(summary.counter('METERED_OCTETS'), octets, "the kernel's octets");
  t.match(summary, { packets, octets }, "the summary's");
  t.match(sumFlows(decoded), { packets, octets }, "the exported records'");
  t.match(sumFlows(nfdump), { packets, octets }, "nfdump's");
});

t.test('so it is while flows are expired in the middle of transfers', { skip }, async (t) => {
  const options = ['--active-timeout', '0.1', '--idle-timeout', '0.1'];
  const session = await startSession(t, { version: 9, options });
  const { a, b, pair } = session;
  await Promise.all([
    runTcp(t, a, b, pair.b.ipv4, '--octets', 300_000_000),
    runTcp(t, b, a, pair.a.ipv6, '--octets', 300_000_000),
  ]);
  const { summary, wire, nfdump } = await session.finish();

  const packets = wire.sentPackets + wire.receivedPackets;
  const octets = wire.sentOctets + wire.receivedOctets - ETHERNET_OCTETS * packets;
  t.match(summary, { packets, octets }, "the summary's");
  t.match(sumFlows(nfdump), { packets, octets }, "nfdump's");
  const transfers = nfdump.filter((flow) => flow.protocol === TCP);
  t.ok(transfers.length > 4, `${transfers.length} records of the 4 flows`);
});

for (const family of FAMILIES) {
  t.test(`with segmentation offload a packet is a segment, ${family}`, { skip }, async (t) => {
    const session = await startSession(t, { version: 10, offload: true });
    const { a, b, pair } = session;
    setOnBoth(pair, 'net.ipv4.tcp_sack=0'); // or the length of an ACK could not be foretold
    const { client, server } = await runTcp(t, a, b, pair.b[family], '--octets', 20_000_000);
    const { wire, decoded } = await session.finish();

    const ports = [client.port, server.peer_port];
    const out = sumFlows(decoded, (f) => f.protocol === TCP && ports.includes(f.sourcePort));
    const back = sumFlows(decoded, (f) => f.protocol === TCP && ports.includes(f.destinationPort));
    // The generators read TCP_INFO before they close: the last FIN and ACKs come after that.
    const afterwards = 3;
    const isNear = (packets: number, segments: unknown): boolean =>
      packets >= Number(segments) && packets <= Number(segments) + afterwards;
    t.ok(
      isNear(out.packets, client.segments_out),
      `${out.packets} of ${Number(client.segments_out)}`,
    );
    t.ok(
      isNear(back.packets, server.segments_out),
      `${back.packets} of ${Number(server.segments_out)}`,
    );
    t.ok(
      wire.sentPackets + wire.receivedPackets < (out.packets + back.packets) / 2,
      'offload was at work: the interface saw far fewer, larger packets',
    );
    // Payload, retransmitted or not, and one header a segment with its timestamp option.
    const header = (family === 'ipv4' ? 20 : 40) + 32;
    const syn = 8; // a SYN has 8 more octets of options
    const onWire = (sender: Report, packets: number): number =>
      Number(sender.transmitted_octets) + header * packets + syn;
    t.equal(out.octets, onWire(client, out.packets), `octets of ${out.packets} packets out`);
    t.equal(back.octets, onWire(server, back.packets), `octets of ${back.packets} packets back`);
  });
}
