// A capture file is metered as tshark reads it: the same flows, packets, octets and times, for every
// capture, whatever kind of file it is in.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { flowsByKey, NOTHING_EXPIRES, replayAsJson, sorted } from '../support/replayed-flows.js';
import { missingRequirement, PROJECT_ROOT } from '../support/requirements.js';
import { tsharkFlowsOf } from '../support/tshark-frames.js';

const skip = missingRequirement();
const CAPTURES = join(PROJECT_ROOT, 'test/captures/ipfixprobe');
const NAMES = readdirSync(CAPTURES).filter((name) => name.endsWith('.pcap'));

/** Made of others: in its middle it goes back by years, where all flows end. */
const LEAPS_BACK = 'tls.pcap';

t.equal(NAMES.length, 19, 'no capture is missing');

for (const name of NAMES) {
  t.test(`${name} has the flows that tshark tells`, { skip }, async (t) => {
    const path = join(CAPTURES, name);
    const { flows, err, code } = await replayAsJson(t, ['-r', path, ...NOTHING_EXPIRES]);
    t.equal(code, 0, err);
    t.match(err, 'nothing was lost');
    const expected = tsharkFlowsOf(path);
    t.same(sorted(flowsByKey(flows)), sorted(expected));
    if (name !== LEAPS_BACK) t.equal(flows.length, expected.size, 'each flow is told once');
    if (name !== 'arp.pcap') t.ok(expected.size > 0, 'there are flows');
  });
}
