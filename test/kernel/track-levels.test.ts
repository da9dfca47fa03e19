// What tells flows apart: the same packets at each level, in the real kernel.
import t from 'tap';
import type { TrackLevel } from '../../src/flow/track-level.js';
import type { FlowRecord } from '../../src/flow/flow-record.js';
import { field } from '../support/record-fields.js';
import { cannotLoadPrograms, openPacketLab } from '../support/packet-lab.js';
import { ethernet, icmp, ipv4, ipv6, tcp, udp, vlan } from '../support/packet-bytes.js';

const OTHER_MAC = Buffer.from('02000000abcd', 'hex');

/** The same frame from another host of the link. */
function fromOtherMac(frame: Buffer): Buffer {
  return Buffer.concat([frame.subarray(0, 6), OTHER_MAC, frame.subarray(12)]);
}

const web = ipv4({ protocol: 6 }, tcp(0x10, 4, [40000, 443]));
const PACKETS: readonly Buffer[] = [
  ethernet('ipv4', web),
  ethernet('ipv4', ipv4({ protocol: 6 }, tcp(0x10, 4, [40001, 443]))),
  ethernet('ipv4', ipv4({ protocol: 17 }, udp(4, [40000, 443]))),
  ethernet('ipv4', ipv4({ protocol: 1 }, icmp(8, 0, 1))),
  ethernet('ipv4', ipv4({ protocol: 1 }, icmp(8, 0, 2))),
  ethernet('vlan', vlan(5, 'ipv4', web)),
  ethernet('vlan', vlan(6, 'ipv4', web)),
  fromOtherMac(ethernet('ipv4', web)),
  ethernet('ipv6', ipv6({ nextHeader: 17 }, udp(4, [40000, 443]))),
  ethernet('ipv6', ipv6({ nextHeader: 17 }, udp(4, [40001, 443]))),
];

function identity(record: FlowRecord): string {
  const { ipVersion, protocol, sourcePort, icmpTypeCode } = record;
  const link = `vlan ${field(record, 'vlan_id')}`;
  return `v${ipVersion} ${protocol} ${sourcePort} ${icmpTypeCode} ${link}: ${record.packets}`;
}

/** Family, protocol, source port, ICMP type and code, VLAN of the first packet, packets. */
const EXPECTED: Readonly<Record<TrackLevel, readonly string[]>> = {
  ether: [
    'v4 1 0 2048 vlan 0: 1',
    'v4 1 0 2048 vlan 0: 1',
    'v4 17 40000 0 vlan 0: 1',
    'v4 6 40000 0 vlan 0: 1',
    'v4 6 40000 0 vlan 0: 1',
    'v4 6 40000 0 vlan 5: 1',
    'v4 6 40000 0 vlan 6: 1',
    'v4 6 40001 0 vlan 0: 1',
    'v6 17 40000 0 vlan 0: 1',
    'v6 17 40001 0 vlan 0: 1',
  ],
  vlan: [
    'v4 1 0 2048 vlan 0: 1',
    'v4 1 0 2048 vlan 0: 1',
    'v4 17 40000 0 vlan 0: 1',
    'v4 6 40000 0 vlan 0: 2',
    'v4 6 40000 0 vlan 5: 1',
    'v4 6 40000 0 vlan 6: 1',
    'v4 6 40001 0 vlan 0: 1',
    'v6 17 40000 0 vlan 0: 1',
    'v6 17 40001 0 vlan 0: 1',
  ],
  full: [
    'v4 1 0 2048 vlan 0: 1',
    'v4 1 0 2048 vlan 0: 1',
    'v4 17 40000 0 vlan 0: 1',
    'v4 6 40000 0 vlan 0: 4',
    'v4 6 40001 0 vlan 0: 1',
    'v6 17 40000 0 vlan 0: 1',
    'v6 17 40001 0 vlan 0: 1',
  ],
  proto: ['v4 1 0 0 vlan 0: 2', 'v4 17 0 0 vlan 0: 1', 'v4 6 0 0 vlan 0: 5', 'v6 17 0 0 vlan 0: 2'],
  ip: ['v4 0 0 0 vlan 0: 8', 'v6 0 0 0 vlan 0: 2'],
};

t.test('a track level', { skip: cannotLoadPrograms() }, async (t) => {
  for (const [level, expected] of Object.entries(EXPECTED)) {
    await t.test(`${level} tells apart what it says, and no more`, async (t) => {
      const lab = openPacketLab(64, {}, { trackLevel: level as TrackLevel, netns: 4026531840 });
      t.teardown(lab.close);
      for (const bytes of PACKETS) lab.run({ bytes });
      const records = await lab.sweep('all');
      t.same(records.map(identity).sort(), expected);
      t.ok(records.every(({ networkNamespace }) => networkNamespace === 4026531840));
      t.equal(lab.counters().METERED_PACKETS, PACKETS.length);
    });
  }

  await t.test('ICMP keeps its type and identifier at sockets', async (t) => {
    const lab = openPacketLab(64, {}, { trackLevel: 'ip', capture: 'sockets' });
    t.teardown(lab.close);
    const pings = [1, 2].map((id) => ipv4({ protocol: 1 }, icmp(8, 0, id)));
    const others = [17, 17].map((protocol, i) => ipv4({ protocol }, udp(4, [1000 + i, 53])));
    for (const packet of [...pings, ...others]) {
      lab.run({ program: 'socket_egress', bytes: ethernet('ipv4', packet) });
    }
    const records = (await lab.sweep('all')).map(identity).sort();
    t.same(records, ['v4 0 0 0 vlan 0: 2', 'v4 1 0 2048 vlan 0: 1', 'v4 1 0 2048 vlan 0: 1']);
  });
});
