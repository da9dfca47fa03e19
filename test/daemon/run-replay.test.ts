// Frames of a capture file, through the real programs, become flows by the capture's own times.
import t from 'tap';
import { FLOW_END_REASON, FLOW_FLAG } from '../../src/flow/flow-contract.gen.js';
import type { FlowRecord } from '../../src/flow/flow-record.js';
import { pcapFile, pcapngFile, type WrittenFrame } from '../support/capture-writer.js';
import { ethernet, hex, ipv4, ipv6, udp, vlan } from '../support/packet-bytes.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';
import { replayFile } from '../support/replay-lab.js';
import { NEVER } from '../support/timeouts.js';

const skip = cannotLoadPrograms();
const UDP = 17;
const START_S = 1_700_000_000;
const NS_PER_SECOND = 1_000_000_000n;
const { FLOW_END_IDLE_TIMEOUT, FLOW_END_ACTIVE_TIMEOUT, FLOW_END_FORCED } = FLOW_END_REASON;

/** IPv4 and UDP with 10 octets: 38 in all. */
function packetV4(port: number): Buffer {
  return ipv4({ protocol: UDP }, udp(10, [port, 53]));
}

function packetV6(port: number): Buffer {
  return ipv6({ nextHeader: UDP }, udp(10, [port, 53]));
}

function frameV4(port: number): Buffer {
  return ethernet('ipv4', packetV4(port));
}

function at(seconds: number, bytes: Buffer, more: Partial<WrittenFrame> = {}): WrittenFrame {
  return { bytes, seconds: START_S + seconds, nanoseconds: 0, ...more };
}

function byPort(records: readonly FlowRecord[]): FlowRecord[] {
  return [...records].sort((a, b) => a.sourcePort - b.sourcePort);
}

/** What stands in front of the packet in each link type, where an IPv4 packet follows and an IPv6 one. */
const LINK_TYPES = [
  { type: 1, name: 'Ethernet', v4: `${'00'.repeat(12)}0800`, v6: `${'00'.repeat(12)}86dd` },
  { type: 0, name: 'null', v4: '02000000', v6: '18000000' },
  { type: 108, name: 'loop', v4: '00000002', v6: '0000001e' },
  { type: 101, name: 'raw IP', v4: '', v6: '' },
  { type: 12, name: 'raw IP of old', v4: '', v6: '' },
  { type: 14, name: "OpenBSD's raw IP", v4: '', v6: '' },
  { type: 113, name: 'Linux cooked', v4: `${'00'.repeat(14)}0800`, v6: `${'00'.repeat(14)}86dd` },
  {
    type: 276,
    name: 'Linux cooked, version 2',
    v4: `0800000000000007${'00'.repeat(12)}`,
    v6: `86dd000000000007${'00'.repeat(12)}`,
  },
  { type: 9, name: 'PPP', v4: '0021', v6: 'ff030057' },
  { type: 50, name: 'PPP in HDLC framing', v4: 'ff030021', v6: '57' },
  { type: 104, name: 'Cisco HDLC', v4: '0f000800', v6: '0f0086dd' },
] as const;

t.test('frames of each link type are metered', { skip }, async (t) => {
  const types = LINK_TYPES.map(({ type }) => type);
  const frames = LINK_TYPES.flatMap(({ type, v4, v6 }, i) => [
    at(0, Buffer.concat([hex(v4), packetV4(1000 + type)]), { interfaceId: i }),
    at(1, Buffer.concat([hex(v6), packetV6(2000 + type)]), { interfaceId: i }),
  ]);
  for (const isBigEndian of [false, true]) {
    // The host's byte order, in which null has the address family, is the file's.
    const own = frames.map((frame) => {
      const isNull = LINK_TYPES[frame.interfaceId ?? 0]?.type === 0;
      if (!isBigEndian || !isNull) return frame;
      const family = Buffer.from(frame.bytes.subarray(0, 4)).reverse();
      return { ...frame, bytes: Buffer.concat([family, frame.bytes.subarray(4)]) };
    });
    const { records, summary } = await replayFile(t, pcapngFile(own, types, isBigEndian));
    for (const { type, name } of LINK_TYPES) {
      const index = type === 276 ? 7 : types.indexOf(type);
      for (const [port, octets, version] of [
        [1000 + type, 38, 4],
        [2000 + type, 58, 6],
      ] as const) {
        const record = records.find(({ sourcePort }) => sourcePort === port);
        t.match(record, { octets, packets: 1, ipVersion: version, interfaceIndex: index }, name);
      }
    }
    t.equal(records.length, 2 * LINK_TYPES.length);
    t.match(summary.counters, { NON_IP_FRAMES: 0, MALFORMED_PACKETS: 0 });
  }
});

t.test('behind a cooked header a VLAN tag can follow, and what is not IP', { skip }, async (t) => {
  const cooked = hex('00'.repeat(14));
  const file = pcapFile(
    [
      at(0, Buffer.concat([cooked, hex('8100'), vlan(7, 'ipv4', packetV4(1))])),
      at(0, Buffer.concat([cooked, hex('0806'), Buffer.alloc(28)])),
      at(0, Buffer.concat([cooked, hex('0004'), Buffer.alloc(28)])),
      at(0, Buffer.concat([cooked, hex('0000'), Buffer.alloc(28)])),
      at(0, cooked),
    ],
    { linkType: 113 },
  );
  const { records, summary } = await replayFile(t, file);
  t.match(records, [{ sourcePort: 1, octets: 38 }]);
  t.match(summary.counters, { NON_IP_FRAMES: 3, MALFORMED_PACKETS: 1, METERED_PACKETS: 1 });
});

t.test('frames that cannot be read are counted by their link type', { skip }, async (t) => {
  const frames = [
    at(0, Buffer.alloc(60), { interfaceId: 1 }),
    at(0, frameV4(1)),
    at(0, Buffer.alloc(60), { interfaceId: 1 }),
  ];
  const { records, summary } = await replayFile(t, pcapngFile(frames, [1, 127]));
  t.equal(records.length, 1);
  t.same(summary.counts.unreadable, { 'IEEE 802.11 radiotap (127)': 2 });
  for (const file of [pcapFile(frames, { linkType: 127 }), pcapngFile(frames, [127, 127])]) {
    await t.rejects(replayFile(t, file), {
      name: 'CaptureInputError',
      message: /link type IEEE 802.11 radiotap \(127\)/,
    });
  }
});

t.test('octets are those on the wire, also of a frame that was cut', { skip }, async (t) => {
  const long = ipv4({ protocol: UDP, totalLength: 1400 }, udp(1380, [1, 53]));
  const offloaded = ipv4({ protocol: UDP, totalLength: 0 }, udp(100, [2, 53]));
  const padded = Buffer.concat([frameV4(3), Buffer.alloc(8, 0xff)]);
  const file = pcapFile([
    at(0, ethernet('ipv4', long).subarray(0, 60), { wireOctets: 1414 }),
    at(0, ethernet('ipv4', offloaded).subarray(0, 60), { wireOctets: 40_014 }),
    at(0, padded),
    at(0, ethernet('ipv4', long).subarray(0, 60), { wireOctets: 1000 }),
  ]);
  const { records } = await replayFile(t, file);
  t.match(byPort(records), [
    { sourcePort: 1, packets: 2, octets: 1400 + 986 },
    { sourcePort: 2, octets: 40_000 },
    { sourcePort: 3, octets: 38 },
  ]);
});

t.test('nothing is read beyond the end of a frame', { skip }, async (t) => {
  // Cut behind each header's parts; what follows in the file, and in the kernel's buffer, is another frame.
  const whole = frameV4(0x1234);
  const cuts = [0, 1, 13, 14, 20, 33, 34, 36, 37];
  const frames = cuts.flatMap((octets) => [
    at(0, whole.subarray(0, octets), { wireOctets: whole.length }),
    at(0, ethernet('arp', Buffer.alloc(46, 0xff))),
  ]);
  const { records, summary } = await replayFile(t, pcapFile(frames));
  t.match(records, [{ sourcePort: 0, destinationPort: 0, packets: 3, octets: 3 * 38 }]);
  t.match(summary.counters, { MALFORMED_PACKETS: 6, NON_IP_FRAMES: cuts.length });
});

t.test('long chains of IPv6 extension headers are followed', { skip }, async (t) => {
  const HOP_BY_HOP = 0;
  const DESTINATION_OPTIONS = 60;
  /** (length + 1) * 8 octets */
  const header = (next: number, length: number): Buffer =>
    Buffer.concat([Buffer.from([next, length]), Buffer.alloc((length + 1) * 8 - 2)]);
  const payload = Buffer.concat([
    header(DESTINATION_OPTIONS, 100),
    header(UDP, 200),
    udp(10, [77, 53]),
  ]);
  const frame = ethernet('ipv6', ipv6({ nextHeader: HOP_BY_HOP }, payload));
  const { records } = await replayFile(t, pcapFile([at(0, frame), at(0, frame)]));
  t.match(records, [{ sourcePort: 77, packets: 2, octets: 2 * (40 + payload.length) }]);
});

t.test('fragments have the ports of the first for 30 s of the capture', { skip }, async (t) => {
  const first = ipv4({ protocol: UDP, id: 7, moreFragments: true }, udp(24, [9, 53]));
  const later = ipv4({ protocol: UDP, id: 7, fragmentOffset: 3 }, Buffer.alloc(16));
  const file = pcapFile([
    at(0, ethernet('ipv4', first)),
    at(29, ethernet('ipv4', later)),
    // Of a capture that is not in order.
    at(-5, ethernet('ipv4', later)),
    at(31, ethernet('ipv4', later)),
  ]);
  const { records, summary } = await replayFile(t, file);
  t.match(byPort(records), [
    { sourcePort: 0, packets: 1 },
    { sourcePort: 9, packets: 3 },
  ]);
  t.equal(summary.counters?.FRAGMENTS_UNMATCHED, 1);
});

t.test('times are exact to the nanosecond, in whatever order they come', { skip }, async (t) => {
  const times = [
    [START_S, 123_456_789],
    [START_S - 86_400 * 365, 987_654_321],
    [START_S + 86_400 * 3650, 1],
    [0, 0],
    [4_294_967_295, 999_999_999],
  ] as const;
  const frames = times.flatMap(([seconds, nanoseconds], i) =>
    [0, 1].map((later) => ({
      bytes: frameV4(100 + i),
      seconds,
      nanoseconds: later === 0 && nanoseconds > 0 ? nanoseconds : nanoseconds + 0,
    })),
  );
  const { records, epoch } = await replayFile(t, pcapFile(frames, { isNanoseconds: true }));
  const since = ({ seconds, nanoseconds }: { seconds: number; nanoseconds: number }): bigint =>
    BigInt(seconds) * NS_PER_SECOND + BigInt(nanoseconds);
  const zero = since(epoch ?? { seconds: 0, nanoseconds: 0 });
  for (const [i, [seconds, nanoseconds]] of times.entries()) {
    const record = records.find(({ sourcePort }) => sourcePort === 100 + i);
    // 0 would be no time.
    const expected = since({ seconds, nanoseconds }) || 1n;
    t.equal((record?.firstNs ?? 0n) + zero, expected, `${seconds}`);
    t.equal((record?.lastNs ?? 0n) + zero, expected);
  }
});

t.test('where the time leaps back, the flows of before end', { skip }, async (t) => {
  const timeouts = { ...NEVER, udp: 60_000 };
  const seconds = [86_400, 86_401, 0, 10, 100];
  const frames = seconds.map((second) => at(second, frameV4(1)));
  const { records } = await replayFile(t, pcapFile(frames), { timeouts });
  const told = records.map(({ firstNs, packets, endReason }) => [
    Number(firstNs / NS_PER_SECOND) - START_S,
    packets,
    endReason,
  ]);
  t.same(told, [
    [86_400, 2, FLOW_END_FORCED],
    [0, 2, FLOW_END_IDLE_TIMEOUT],
    [100, 1, FLOW_END_FORCED],
  ]);
});

t.test('a time far ahead does not switch timeouts off', { skip }, async (t) => {
  const timeouts = { ...NEVER, udp: 60_000 };
  for (const ahead of [3000, 100_000_000]) {
    const file = pcapFile([
      at(0, frameV4(1)),
      at(ahead, frameV4(2)),
      at(10, frameV4(1)),
      at(20, frameV4(1)),
      at(100, frameV4(1)),
      at(200, frameV4(1)),
    ]);
    const { records } = await replayFile(t, file, { timeouts });
    const told = records
      .filter(({ sourcePort }) => sourcePort === 1)
      .map(({ firstNs, packets, endReason }) => [
        Number(firstNs / NS_PER_SECOND) - START_S,
        packets,
        endReason,
      ]);
    t.same(
      told,
      [
        [0, 1, FLOW_END_IDLE_TIMEOUT],
        [10, 2, FLOW_END_IDLE_TIMEOUT],
        [100, 1, FLOW_END_IDLE_TIMEOUT],
        [200, 1, FLOW_END_FORCED],
      ],
      `${ahead} s ahead`,
    );
  }
});

t.test('times that go to and fro are not swept with each frame', { skip }, async (t) => {
  const frames = Array.from({ length: 1000 }, (_, i) => at((i % 2) * 3000 + i / 2, frameV4(1 + i)));
  const file = pcapFile(frames.map((frame) => ({ ...frame, seconds: Math.floor(frame.seconds) })));
  const { records, sweeps } = await replayFile(t, file, { timeouts: { ...NEVER, udp: 60_000 } });
  t.equal(records.length, 1000);
  t.ok(sweeps.length < 100, `${sweeps.length} sweeps`);
});

t.test('a packet of before begins the flow', { skip }, async (t) => {
  const file = pcapFile([at(5, frameV4(1)), at(2, frameV4(1)), at(4, frameV4(1))]);
  const { records } = await replayFile(t, file);
  t.match(records, [{ packets: 3 }]);
  const [record] = records;
  t.equal((record?.lastNs ?? 0n) - (record?.firstNs ?? 0n), 3n * NS_PER_SECOND);
});

t.test('flows expire by the time of the capture', { skip }, async (t) => {
  const minutes = Array.from({ length: 10 }, (_, i) => at(60 * i, frameV4(2)));
  const frames = [at(0, frameV4(1)), ...minutes, at(86_400, frameV4(1))];
  const timeouts = { ...NEVER, udp: 120_000, maxlife: 300_000 };
  const { records, sweeps } = await replayFile(t, pcapFile(frames), {
    timeouts,
    sweepIntervalMs: 1000,
  });
  const told = records.map(({ sourcePort, packets, endReason }) => [
    sourcePort,
    packets,
    endReason,
  ]);
  t.same(told, [
    [1, 1, FLOW_END_IDLE_TIMEOUT],
    [2, 5, FLOW_END_ACTIVE_TIMEOUT],
    [2, 5, FLOW_END_IDLE_TIMEOUT],
    [1, 1, FLOW_END_FORCED],
  ]);
  t.ok(sweeps.length < 20, 'a pause is swept once and not each second of it');
});

t.test('of too many flows those end early that are silent longest', { skip }, async (t) => {
  const ports = Array.from({ length: 3000 }, (_, i) => 1 + i);
  const frames = ports.map((port) => at(port / 1000, frameV4(port)));
  const whole = frames.map((frame) => ({ ...frame, seconds: Math.floor(frame.seconds) }));
  const { records, summary } = await replayFile(t, pcapFile(whole), { maxFlows: 100 });
  t.equal(records.length, ports.length, 'each flow is told once');
  t.equal(summary.packets, ports.length);
  t.match(summary.counters, { SINGLE_PACKET_RECORDS: 0, LOST_PACKETS: 0 });
  const { FLOW_END_LACK_OF_RESOURCES, FLOW_END_FORCED: forced = 0 } = summary.endReasons;
  t.ok(forced > 0 && forced <= 110, `${forced} are left at the end`);
  t.equal((FLOW_END_LACK_OF_RESOURCES ?? 0) + forced, ports.length);
  t.ok(
    records.slice(-forced).every(({ sourcePort }) => sourcePort > 2800),
    'the youngest',
  );
});

t.test('a flow of a capture is nobody here', { skip }, async (t) => {
  const { records } = await replayFile(t, pcapFile([at(0, frameV4(1))]));
  const [record] = records;
  t.equal((record?.flags ?? 0) & FLOW_FLAG.FLOW_REPLAYED, FLOW_FLAG.FLOW_REPLAYED);
  for (const side of ['source', 'destination'] as const) t.equal(record?.isLocal(side), false);
});

t.test('a capture that is broken is metered up to there', { skip }, async (t) => {
  const file = pcapFile([at(0, frameV4(1)), at(1, frameV4(2))]);
  const { records, summary } = await replayFile(t, file.subarray(0, file.length - 3));
  t.match(records, [{ sourcePort: 1 }]);
  t.match(summary.fault, { code: 'TRUNCATED', message: /broken at octet 92/ });
});

t.test('whoever stops a replay gets what was metered', { skip }, async (t) => {
  const frames = Array.from({ length: 100 }, (_, i) => at(10 * i, frameV4(1 + i)));
  const controller = new AbortController();
  const { records, summary } = await replayFile(t, pcapFile(frames), {
    timeouts: { ...NEVER, udp: 1000 },
    signal: controller.signal,
    onRecords: async () => {
      controller.abort();
    },
  });
  t.ok(records.length > 0 && records.length < 100);
  t.equal(summary.packets, summary.counters?.METERED_PACKETS, 'nothing metered is lost');
  t.equal(summary.fault, undefined, 'that it is not read to its end is no fault');
});

t.test('packets are sampled as live ones are', { skip }, async (t) => {
  const frames = Array.from({ length: 100 }, () => at(0, frameV4(1)));
  const sampling = { kind: 'count', interval: 10 } as const;
  const { records } = await replayFile(t, pcapFile(frames), { sampling });
  t.match(records, [{ packets: 10 }]);
});

t.test('the interface can be given a number', { skip }, async (t) => {
  const { records } = await replayFile(t, pcapFile([at(0, frameV4(1))]), { interfaceIndex: 12 });
  t.match(records, [{ interfaceIndex: 12 }]);
});

t.test('a filter keeps frames out', { skip }, async (t) => {
  const frames = [at(0, frameV4(1)), at(0, frameV4(2)), at(0, ethernet('arp', Buffer.alloc(46)))];
  const { records, summary } = await replayFile(t, pcapFile(frames), { filter: 'udp src port 2' });
  t.match(records, [{ sourcePort: 2 }]);
  t.equal(summary.counts.filtered, 2);
  await t.rejects(replayFile(t, pcapFile(frames), { filter: 'prot udp' }), { name: 'FilterError' });
});

t.test('a later link type that the filter does not fit loses nothing else', { skip }, async (t) => {
  const tagged = (port: number): Buffer =>
    Buffer.concat([Buffer.alloc(12), hex('8100'), vlan(7, 'ipv4', packetV4(port))]);
  const frames = [
    at(0, tagged(1)),
    at(1, packetV4(2), { interfaceId: 1 }),
    at(2, packetV4(3), { interfaceId: 1 }),
    at(3, tagged(4)),
    at(4, frameV4(5)),
  ];
  const { records, summary } = await replayFile(t, pcapngFile(frames, [1, 101]), {
    filter: 'vlan',
  });
  t.match(byPort(records), [{ sourcePort: 1 }, { sourcePort: 4 }]);
  t.equal(records.length, 2);
  t.match(summary.counts, { frames: 5, filtered: 1, unreadable: {} });
  t.same(summary.counts.unfit, { '101': 2 });
  await t.rejects(
    replayFile(t, pcapngFile(frames, [101, 1]), { filter: 'vlan' }),
    { name: 'FilterError' },
    'the first one has to fit',
  );
});
