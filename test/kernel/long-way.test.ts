// The long way of a packet is a program of its own, to which the others go on by a tail call
// (bpf/flow_metering.h).
import { readdirSync, readlinkSync } from 'node:fs';
import t from 'tap';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { ethernet, ipv4, udp } from '../support/packet-bytes.js';
import { cannotLoadPrograms, openPacketLab } from '../support/packet-lab.js';

const skip = cannotLoadPrograms();
const UDP = 17;
const TC_ACT_UNSPEC = 0xffffffff;

function descriptors(kind: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === `anon_inode:${kind}`;
    } catch {
      return false; // the descriptor of the directory itself is gone by now
    }
  }).length;
}

t.test('a packet that has no long way goes on, and is counted as lost', { skip }, (t) => {
  const lab = openPacketLab();
  t.teardown(lab.close);
  const packet = ipv4({ protocol: UDP }, udp(18));
  lab.run({ bytes: ethernet('ipv4', packet) });
  t.match(lab.counters(), { METERED_PACKETS: 1, LOST_PACKETS: 0 });
  lab.closeLongWay();
  for (const program of ['flow_ingress', 'flow_ingress_ip'] as const) {
    const bytes = program === 'flow_ingress' ? ethernet('arp', Buffer.alloc(28)) : packet;
    t.equal(lab.run({ bytes, program }), TC_ACT_UNSPEC);
  }
  t.match(lab.counters(), { METERED_PACKETS: 1, LOST_PACKETS: 2 });
  // Each gave back what it had taken: there are fewer of these than packets.
  for (let i = 0; i < 20; i++) lab.run({ bytes: packet, program: 'flow_ingress_ip' });
  t.match(lab.counters(), { LOST_PACKETS: 22 });
  t.end();
});

t.test('what is loaded goes away with the object', { skip }, (t) => {
  const before = [descriptors('bpf-prog'), descriptors('bpf-map')];
  const object = BpfObject.load({ maxEntries: { flows_v4: 16, flows_v6: 16 } });
  t.ok(object.programFd('frame_long_way') > 0);
  object.close();
  t.same([descriptors('bpf-prog'), descriptors('bpf-map')], before);
  t.end();
});
