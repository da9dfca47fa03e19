// Sampling of whole flows: a verdict by hash, the same for both directions and in each place.
import t from 'tap';
import { ethernet, hex, icmp, ipv4, ipv6, tcp, udp } from '../support/packet-bytes.js';
import { cannotLoadPrograms, openPacketLab, type PacketLab } from '../support/packet-lab.js';
import { sipHash13 } from '../support/sip-hash.js';

const skip = cannotLoadPrograms();
const INTERVAL = 8;
const FLOWS = 4000;
const SEED = hex('000102030405060708090a0b0c0d0e0f');
const UDP = 17;

interface Owner {
  teardown: (release: () => void) => void;
}

function open(t: Owner, seed: Buffer, capture: 'interface' | 'sockets' = 'interface'): PacketLab {
  const lab = openPacketLab(
    8192,
    {},
    {
      capture,
      sampling: { kind: 'flow', interval: INTERVAL },
      hashSeed: seed,
      watchedCgroup: 1n,
    },
  );
  t.teardown(lab.close);
  return lab;
}

/** The test's own words for: 10.0.0.1 and its port, 10.0.0.2 and its port, the protocol. */
function isSelected(ports: readonly [number, number], protocol: number): boolean {
  const ends = [
    `0a000001${'00'.repeat(12)}`, // smaller than 0a000002 when read as little endian
    `0a000002${'00'.repeat(12)}`,
  ];
  const portBytes = Buffer.alloc(4);
  portBytes.writeUInt16BE(ports[0], 0);
  portBytes.writeUInt16BE(ports[1], 2);
  const message = Buffer.concat([hex(ends.join('')), portBytes, Buffer.from([protocol, 0, 0, 0])]);
  return sipHash13(SEED, message) < 2n ** 64n / BigInt(INTERVAL);
}

const there = (port: number): Buffer =>
  ethernet('ipv4', ipv4({ protocol: UDP }, udp(4, [port, 53])));
const back = (port: number): Buffer =>
  ethernet('ipv4', ipv4({ protocol: UDP, swapped: true }, udp(4, [53, port])));

async function metered(lab: PacketLab): Promise<number> {
  return (await lab.sweep('all')).length;
}

t.test('which flows are metered follows from the seed, one in so many', { skip }, async (t) => {
  const lab = open(t, SEED);
  for (let port = 1; port <= FLOWS; port++) lab.run({ bytes: there(port), repeat: 2 });
  const records = [...(await lab.sweep('all')), ...(await lab.sweep('all'))];
  const found = records.map((record) => record.sourcePort).sort((a, b) => a - b);
  const expected: number[] = [];
  for (let port = 1; port <= FLOWS; port++) if (isSelected([port, 53], UDP)) expected.push(port);
  t.same(found, expected);
  t.ok(
    records.every((record) => record.packets === 2),
    'with all of their packets',
  );
  const deviation = Math.sqrt((FLOWS / INTERVAL) * (1 - 1 / INTERVAL));
  t.ok(Math.abs(found.length - FLOWS / INTERVAL) < 5 * deviation, `${found.length} flows`);
  t.equal(lab.counters().NOT_SAMPLED_PACKETS, 2 * (FLOWS - found.length));
  t.equal(lab.counters().NOT_SAMPLED_OCTETS, 32 * 2 * (FLOWS - found.length));
});

t.test('another seed chooses other flows', { skip }, async (t) => {
  const choices: string[] = [];
  for (const seed of [SEED, Buffer.alloc(16)]) {
    const lab = open(t, seed);
    for (let port = 1; port <= 500; port++) lab.run({ bytes: there(port) });
    const ports = (await lab.sweep('all')).map((record) => record.sourcePort);
    choices.push(ports.sort((a, b) => a - b).join());
  }
  t.not(choices[0], choices[1]);
});

/** One conversation for each number. */
const CONVERSATIONS: Readonly<Record<string, (n: number) => readonly [Buffer, Buffer]>> = {
  'UDP over IPv4': (n) => [there(n), back(n)],
  'TCP over IPv6': (n) => [
    ethernet('ipv6', ipv6({ nextHeader: 6 }, tcp(2, 0, [n, 80]))),
    ethernet('ipv6', ipv6({ nextHeader: 6, swapped: true }, tcp(0x12, 0, [80, n]))),
  ],
  'an echo and its reply': (n) => [
    ethernet('ipv4', ipv4({ protocol: 1 }, icmp(8, 0, n))),
    ethernet('ipv4', ipv4({ protocol: 1, swapped: true }, icmp(0, 0, n))),
  ],
  'an ICMPv6 echo and its reply': (n) => [
    ethernet('ipv6', ipv6({ nextHeader: 58 }, icmp(128, 0, n))),
    ethernet('ipv6', ipv6({ nextHeader: 58, swapped: true }, icmp(129, 0, n))),
  ],
};

for (const [name, conversation] of Object.entries(CONVERSATIONS)) {
  t.test(`both directions have the same verdict: ${name}`, { skip }, async (t) => {
    const lab = open(t, SEED);
    let both = 0;
    for (let n = 1; n <= 300; n++) {
      const [request, answer] = conversation(n);
      lab.run({ bytes: request, program: 'flow_egress' });
      const before = lab.counters().METERED_PACKETS;
      lab.run({ bytes: answer, program: 'flow_ingress' });
      const after = lab.counters().METERED_PACKETS;
      if (after > before) both++;
      t.equal(after, 2 * both, `conversation ${n}`);
    }
    t.ok(both > 10 && both < 80, `${both} conversations of 300`);
    t.equal(await metered(lab), 2 * both);
  });
}

t.test('sockets choose as interfaces do', { skip }, async (t) => {
  const labs = [open(t, SEED), open(t, SEED, 'sockets')] as const;
  for (let port = 1; port <= 300; port++) {
    labs[0].run({ bytes: there(port), program: 'flow_egress' });
    labs[1].run({ bytes: there(port), program: 'socket_egress' });
    t.equal(labs[0].counters().METERED_PACKETS, labs[1].counters().METERED_PACKETS, `${port}`);
  }
  t.ok((await metered(labs[0])) > 0);
});

t.test('fragments go with their first one', { skip }, async (t) => {
  const lab = open(t, SEED);
  for (let port = 1; port <= 300; port++) {
    const first = ipv4({ protocol: UDP, id: port, moreFragments: true }, udp(1472, [port, 53]));
    const later = ipv4({ protocol: UDP, id: port, fragmentOffset: 185 }, hex('abcd'));
    lab.run({ bytes: ethernet('ipv4', first) });
    lab.run({ bytes: ethernet('ipv4', later) });
  }
  const records = await lab.sweep('all');
  t.ok(records.length > 10);
  t.ok(records.every((record) => record.packets === 2 && record.octets === 1522));
});
