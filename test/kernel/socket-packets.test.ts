// Packets into the programs at sockets, in the real kernel: whatever comes, it passes.
import { statSync } from 'node:fs';
import t from 'tap';
import { field } from '../support/record-fields.js';
import { ethernet, ipv4, ipv6, tcp, udp } from '../support/packet-bytes.js';
import {
  cannotLoadPrograms,
  openPacketLab,
  type PacketLab,
  type PacketRun,
} from '../support/packet-lab.js';

const skip = cannotLoadPrograms();
const PASS = 1; // 0 would drop the packet
const PROGRAMS = ['socket_egress', 'socket_ingress'] as const;
const NO_MAC = '000000000000';
const TCP = 6;
const UDP = 17;

/** The packets come in on loopback, and count there where their sender is not watched. */
const ELSEWHERE = 1234567n;

function open(
  t: { teardown: (release: () => void) => void },
  maxFlows?: number,
  watchedCgroup = ELSEWHERE,
): PacketLab {
  const lab = openPacketLab(maxFlows, {}, { capture: 'sockets', watchedCgroup });
  t.teardown(lab.close);
  return lab;
}

const tcpOver4 = ethernet('ipv4', ipv4({ protocol: TCP }, tcp(0x10, 1000)));
const udpOver6 = ethernet('ipv6', ipv6({ nextHeader: UDP }, udp(100)));

interface Case {
  readonly name: string;
  readonly packet: Omit<PacketRun, 'program'>;
  readonly packets: number;
  readonly octets: number;
}

const CASES: readonly Case[] = [
  { name: 'TCP over IPv4', packet: { bytes: tcpOver4 }, packets: 1, octets: 1040 },
  { name: 'UDP over IPv6', packet: { bytes: udpOver6 }, packets: 1, octets: 148 },
  {
    name: 'TCP that stands for two segments',
    packet: { bytes: tcpOver4, gsoSize: 600, gsoSegs: 2 },
    packets: 2,
    octets: 1080,
  },
  {
    name: 'TCP whose segments are still to be counted',
    packet: { bytes: tcpOver4, gsoSize: 300 },
    packets: 4,
    octets: 1160,
  },
];

for (const program of PROGRAMS) {
  for (const { name, packet, packets, octets } of CASES) {
    t.test(`${program}: ${name} becomes a flow of its namespace`, { skip }, async (t) => {
      const lab = open(t);
      t.equal(lab.run({ ...packet, program }), PASS);
      const records = await lab.sweep('all');
      t.equal(records.length, 1);
      for (const record of records) {
        t.equal(record.packets, packets);
        t.equal(record.octets, octets);
        t.equal(record.direction, program === 'socket_egress' ? 1 : 0);
        // The socket of a test run is in the namespace of its caller.
        t.equal(record.networkNamespace, statSync('/proc/self/ns/net').ino);
        t.equal(field(record, 'source_mac', 'hex'), NO_MAC);
        t.equal(field(record, 'destination_mac', 'hex'), NO_MAC);
      }
    });
  }

  t.test(`${program}: what it cannot read passes and is counted`, { skip }, async (t) => {
    const lab = open(t);
    const withFirstOctet = (octet: number, packet: Buffer): Buffer =>
      Buffer.concat([Buffer.from([octet]), packet.subarray(1)]);
    const packet = ipv4({ protocol: TCP }, tcp(0x10, 0));
    const unreadable = [
      ethernet('ipv4', withFirstOctet(0xf5, packet)), // no version of IP
      ethernet('ipv4', withFirstOctet(0x44, packet)), // a header of 16 octets
      ethernet('ipv4', ipv4({ protocol: TCP, totalLength: 19 }, tcp(0x10, 0))),
    ];
    for (const bytes of unreadable) t.equal(lab.run({ bytes, program }), PASS);
    t.equal(lab.counters().MALFORMED_PACKETS, unreadable.length);
    t.same(await lab.sweep('all'), []);
  });

  t.test(`${program}: a packet passes also when the cache is full`, { skip }, async (t) => {
    const lab = open(t, 1);
    for (let port = 1; port <= 50; port++) {
      const bytes = ethernet('ipv4', ipv4({ protocol: UDP }, udp(8, [port, 53])));
      t.equal(lab.run({ bytes, program }), PASS);
    }
    t.ok(lab.counters().CACHE_FULL_PACKETS > 0);
    const records = await lab.sweep('all');
    t.equal(records.length, 50, 'and becomes a record of its own');
  });
}

t.test('what comes in on loopback counts where it went out', { skip }, async (t) => {
  const lab = open(t, undefined, 0n);
  t.equal(lab.run({ bytes: tcpOver4, program: 'socket_ingress' }), PASS);
  t.equal(lab.counters().METERED_PACKETS, 0);
  t.equal(lab.run({ bytes: tcpOver4, program: 'socket_egress' }), PASS);
  t.equal(lab.run({ bytes: tcpOver4, program: 'socket_ingress' }), PASS);
  t.equal(lab.counters().METERED_PACKETS, 1);
  const [flow] = await lab.sweep('all');
  t.equal(flow?.packets, 1);
});

t.test("the kernel's resets count where they come in on loopback", { skip }, async (t) => {
  const lab = open(t, undefined, 0n);
  const reset = ethernet('ipv4', ipv4({ protocol: TCP }, tcp(0x04)));
  for (const program of PROGRAMS) t.equal(lab.run({ bytes: reset, program }), PASS);
  t.equal(lab.counters().METERED_PACKETS, 1);
});
