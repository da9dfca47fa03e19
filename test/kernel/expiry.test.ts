// Which flows leave the cache, why, and that nothing is lost or counted twice when they do.
import t from 'tap';
import { FLOW_END_REASON } from '../../src/flow/flow-contract.gen.js';
import type { FlowRecord } from '../../src/flow/flow-record.js';
import { cannotLoadPrograms, openPacketLab } from '../support/packet-lab.js';
import { ethernet, ipv4, ipv6, tcp, udp } from '../support/packet-bytes.js';
import { timeoutsOf } from '../support/timeouts.js';

const UDP_PACKET = { bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(4))) };
const FIN = 0x11;
const RST = 0x04;
const ACK = 0x10;

const udpFrom = (port: number) => ({
  bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(4, [port, 53]))),
});
const total = (records: readonly FlowRecord[], of: 'packets' | 'octets'): number =>
  records.reduce((sum, record) => sum + record[of], 0);

void t.test('expiry', { skip: cannotLoadPrograms() }, async (t) => {
  await t.test('a flow within its timeouts stays', async (t) => {
    const lab = openPacketLab();
    t.teardown(lab.close);
    lab.run(UDP_PACKET);
    t.same(await lab.sweep('expired'), []);
  });

  await t.test('a quiet flow leaves once, by idle timeout', async (t) => {
    const lab = openPacketLab(16, timeoutsOf(0));
    t.teardown(lab.close);
    lab.run(UDP_PACKET);
    const [record] = await lab.sweep('expired');
    t.equal(record?.endReason, FLOW_END_REASON.FLOW_END_IDLE_TIMEOUT);
    t.equal(record?.packets, 1);
    t.same(await lab.sweep('all'), [], 'nothing is left');
    t.equal(lab.counters().FLOWS_DELETED, 1);
  });

  await t.test('the active timeout exports a flow that continues from zero', async (t) => {
    const lab = openPacketLab(16, { maxlife: 0 });
    t.teardown(lab.close);
    const exported: FlowRecord[] = [];
    for (let round = 0; round < 5; round++) {
      lab.run({ ...UDP_PACKET, repeat: 10 });
      exported.push(...(await lab.sweep('expired')));
    }
    t.same(
      exported.map((record) => record.packets),
      [10, 10, 10, 10, 10],
    );
    t.ok(exported.every(({ endReason }) => endReason === FLOW_END_REASON.FLOW_END_ACTIVE_TIMEOUT));
    t.equal(lab.counters().FLOWS_CREATED, 1, 'one flow all the time');
    for (const [i, record] of exported.slice(1).entries()) {
      t.ok(record.firstNs > (exported[i]?.lastNs ?? 0n), 'each begins after the one before');
    }
  });

  await t.test('an entry that stayed empty after the active timeout leaves silently', async (t) => {
    const lab = openPacketLab(16, timeoutsOf(20, 0));
    t.teardown(lab.close);
    lab.run(UDP_PACKET);
    t.equal((await lab.sweep('expired')).length, 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    t.same(await lab.sweep('expired'), []);
    t.equal(lab.counters().FLOWS_DELETED, 1);
  });

  await t.test('a FIN ends a TCP flow, an ACK does not', async (t) => {
    const lab = openPacketLab(16, { 'tcp.fin': 0 });
    t.teardown(lab.close);
    lab.run({ bytes: ethernet('ipv4', ipv4({ protocol: 6 }, tcp(ACK))) });
    t.same(await lab.sweep('expired'), []);
    lab.run({ bytes: ethernet('ipv4', ipv4({ protocol: 6 }, tcp(FIN))) });
    const [record] = await lab.sweep('expired');
    t.equal(record?.endReason, FLOW_END_REASON.FLOW_END_DETECTED);
    t.equal(record?.packets, 2);
  });

  for (const { name, packet, flags, reason } of [
    { name: 'general', packet: ipv4({ protocol: 47 }, Buffer.alloc(8)), reason: 'IDLE_TIMEOUT' },
    { name: 'udp', packet: ipv4({ protocol: 17 }, udp(4)), reason: 'IDLE_TIMEOUT' },
    { name: 'icmp', packet: ipv4({ protocol: 1 }, Buffer.alloc(8)), reason: 'IDLE_TIMEOUT' },
    { name: 'tcp', flags: ACK, reason: 'IDLE_TIMEOUT' },
    { name: 'tcp.fin', flags: FIN, reason: 'DETECTED' },
    { name: 'tcp.rst', flags: RST | FIN, reason: 'DETECTED' },
  ] as const) {
    await t.test(`${name} has a timeout of its own`, async (t) => {
      const bytes = ethernet('ipv4', packet ?? ipv4({ protocol: 6 }, tcp(flags ?? 0)));
      const others = openPacketLab(16, { ...timeoutsOf(0), [name]: Infinity });
      t.teardown(others.close);
      others.run({ bytes });
      t.same(await others.sweep('expired'), [], 'that of no other applies');
      const own = openPacketLab(16, { [name]: 0 });
      t.teardown(own.close);
      own.run({ bytes });
      const [record] = await own.sweep('expired');
      t.equal(record?.endReason, FLOW_END_REASON[`FLOW_END_${reason}`]);
    });
  }

  await t.test('everything leaves on request, IPv4 and IPv6, as forced end', async (t) => {
    const lab = openPacketLab();
    t.teardown(lab.close);
    lab.run(UDP_PACKET);
    lab.run({ bytes: ethernet('ipv6', ipv6({ nextHeader: 17 }, udp(4))) });
    const records = await lab.sweep('all');
    t.same(records.map((record) => record.ipVersion).sort(), [4, 6]);
    t.ok(records.every(({ endReason }) => endReason === FLOW_END_REASON.FLOW_END_FORCED));
  });

  await t.test('more flows than one read holds all leave, each once', async (t) => {
    const lab = openPacketLab(4096);
    t.teardown(lab.close);
    for (let port = 1; port <= 3000; port++) lab.run(udpFrom(port));
    // The walk may step over an entry when it deletes the one before: it comes with the next.
    const records = [...(await lab.sweep('all')), ...(await lab.sweep('all'))];
    t.equal(new Set(records.map((record) => record.sourcePort)).size, 3000);
    t.equal(records.length, 3000);
    t.same(await lab.sweep('all'), []);
  });

  await t.test('with a full cache each packet becomes a record of its own', async (t) => {
    const lab = openPacketLab(16);
    t.teardown(lab.close);
    for (let port = 1; port <= 100; port++) lab.run(udpFrom(port));
    const records = [...(await lab.sweep('all')), ...(await lab.sweep('all'))];
    const counters = lab.counters();
    t.equal(total(records, 'packets'), 100);
    t.equal(total(records, 'octets'), counters.METERED_OCTETS);
    t.ok(counters.CACHE_FULL_PACKETS > 0);
    t.equal(counters.SINGLE_PACKET_RECORDS, counters.CACHE_FULL_PACKETS);
    t.equal(counters.FLOWS_CREATED + counters.SINGLE_PACKET_RECORDS, 100);
    t.ok(records.some(({ endReason }) => endReason === FLOW_END_REASON.FLOW_END_LACK_OF_RESOURCES));
    t.equal(counters.LOST_PACKETS, 0);
  });

  await t.test('what the ring buffer cannot take is counted as lost', async (t) => {
    const lab = openPacketLab(16);
    t.teardown(lab.close);
    const packets = 30_000; // more than 4 MiB of records
    for (let port = 1; port <= packets; port++) lab.run(udpFrom(port));
    const records = [...(await lab.sweep('all')), ...(await lab.sweep('all'))];
    const counters = lab.counters();
    t.ok(counters.LOST_PACKETS > 0);
    t.equal(total(records, 'packets') + counters.LOST_PACKETS, packets);
    t.equal(total(records, 'octets') + counters.LOST_OCTETS, counters.METERED_OCTETS);
  });
});
