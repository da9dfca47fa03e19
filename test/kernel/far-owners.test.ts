// The far end of a loopback flow has an element of its own (bpf/far_owner.h): it must go with its flow,
// however that ends, or further loopback flows would not learn who is at their other end.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { FLOW_END_REASON } from '../../src/flow/flow-contract.gen.js';
import { ethernet, ipv4, ipv6, udp } from '../support/packet-bytes.js';
import { cannotLoadPrograms, openPacketLab, type PacketLab } from '../support/packet-lab.js';

const skip = cannotLoadPrograms();
const UDP = 17;
const ELEMENTS = 'far_owners';

/** One packet each; loopback is metered on its way out. */
function runLoopbackFlows(lab: PacketLab, flows: number): void {
  for (let port = 1; port <= flows; port++) {
    const payload = udp(4, [port, 53]);
    const v4 = ethernet('ipv4', ipv4({ protocol: UDP }, payload));
    const v6 = ethernet('ipv6', ipv6({ nextHeader: UDP }, payload));
    for (const bytes of [v4, v6]) lab.run({ bytes, program: 'flow_egress' });
  }
}

t.test('the far end goes with a flow that ends by its idle timeout', { skip }, async (t) => {
  const lab = openPacketLab(1024, { udp: 1 });
  t.teardown(lab.close);
  runLoopbackFlows(lab, 5);
  t.equal(lab.elements(ELEMENTS), 10);
  await delay(20);
  t.equal((await lab.sweep('expired')).length, 10);
  t.equal(lab.elements(ELEMENTS), 0);
});

t.test('it stays after an active timeout, and goes with the silent rest', { skip }, async (t) => {
  const lab = openPacketLab(1024, { maxlife: 1 });
  t.teardown(lab.close);
  runLoopbackFlows(lab, 5);
  await delay(20);
  const ended = await lab.sweep('expired');
  t.same(
    new Set(ended.map(({ endReason }) => endReason)),
    new Set([FLOW_END_REASON.FLOW_END_ACTIVE_TIMEOUT]),
  );
  t.equal(lab.elements(ELEMENTS), 10, 'the flows go on');
  t.same(await lab.sweep('all'), [], 'no packet since');
  t.equal(lab.elements(ELEMENTS), 0);
});

t.test('packets that the cache has no room for leave none behind', { skip }, async (t) => {
  const lab = openPacketLab(4);
  t.teardown(lab.close);
  runLoopbackFlows(lab, 20);
  const { CACHE_FULL_PACKETS } = lab.counters();
  t.ok(CACHE_FULL_PACKETS > 0, `${CACHE_FULL_PACKETS} packets without room`);
  await lab.sweep('all');
  t.equal(lab.elements(ELEMENTS), 0);
});

t.test('a flow whose far end has no room is counted once, whatever its packets', { skip }, (t) => {
  const lab = openPacketLab(1024, {}, { maxEntries: { [ELEMENTS]: 4 } });
  t.teardown(lab.close);
  for (let round = 0; round < 3; round++) runLoopbackFlows(lab, 5);
  t.equal(lab.elements(ELEMENTS), 4);
  t.equal(lab.counters().OWNERS_NOT_STORED, 6);
  t.end();
});
