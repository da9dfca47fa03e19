// More flows than are wanted: those that are silent longest end early, and no packet is lost.
import t from 'tap';
import { FLOW_END_REASON } from '../../src/flow/flow-contract.gen.js';
import { ethernet, ipv4, udp } from '../support/packet-bytes.js';
import { cannotLoadPrograms, openPacketLab } from '../support/packet-lab.js';

const udpFrom = (port: number) => ({
  bytes: ethernet('ipv4', ipv4({ protocol: 17 }, udp(4, [port, 53]))),
});

void t.test('flows beyond the number', { skip: cannotLoadPrograms() }, async (t) => {
  await t.test('those silent longest end for lack of resources, oldest first', async (t) => {
    const lab = openPacketLab(64, {}, {}, { maxFlows: 10 });
    t.teardown(lab.close);
    for (let port = 1; port <= 30; port++) lab.run(udpFrom(port));
    lab.run(udpFrom(1)); // not the oldest any more
    const records = await lab.sweep('expired');
    const ports = records.map((record) => record.sourcePort).sort((a, b) => a - b);
    t.same(
      ports,
      Array.from({ length: 20 }, (_, i) => i + 2),
    );
    for (const { endReason } of records) {
      t.equal(endReason, FLOW_END_REASON.FLOW_END_LACK_OF_RESOURCES);
    }
    t.same(await lab.sweep('expired'), [], 'ten may stay');
    t.equal((await lab.sweep('all')).length, 10);
  });

  await t.test('a look at the flows takes none of them away', async (t) => {
    const lab = openPacketLab(64);
    t.teardown(lab.close);
    for (let port = 1; port <= 5; port++) lab.run({ ...udpFrom(port), repeat: port });
    const seen = await lab.flows();
    t.same(seen.map((record) => record.packets).sort(), [1, 2, 3, 4, 5]);
    t.ok(seen.every(({ endReason }) => endReason === 0));
    const left = await lab.sweep('all');
    t.same(left.map((record) => record.packets).sort(), [1, 2, 3, 4, 5]);
    t.same(await lab.flows(), []);
  });
});
