// What metering a capture file costs, counted and not timed, and that nothing gets lost where its
// cache has to grow.
import t from 'tap';
import {
  openFrameReplay,
  type FrameReplay,
  type ReplayFrame,
  type ReplayOptions,
} from '../../src/bpf-loader/capture-replay.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { SweepScope } from '../../src/flow/flow-source.js';
import { ethernet, ipv4, ipv6, udp } from '../support/packet-bytes.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';
import type { Teardown } from '../support/program.js';
import { NEVER, timeoutsOf } from '../support/timeouts.js';

const skip = cannotLoadPrograms();
const UDP = 17;
const START_S = 1_700_000_000;
const NS_PER_SECOND = 1_000_000_000n;

interface Lab {
  readonly replay: FrameReplay;
  readonly add: (seconds: number, bytes: Buffer) => void;
  readonly sweep: (seconds: number, scope?: SweepScope) => Promise<FlowRecord[]>;
}

function openLab(t: Teardown, options: Partial<ReplayOptions>): Lab {
  let nowS = START_S;
  const replay = openFrameReplay({
    ...{ timeouts: NEVER, maxFlows: 65_536, isSparse: true },
    nowNs: () => BigInt(nowS) * NS_PER_SECOND,
    ...options,
  });
  t.teardown(() => {
    replay.close();
  });
  return {
    replay,
    add: (seconds, bytes) => {
      replay.add(frameOf(seconds, bytes));
      if (replay.isFull()) throw new Error('a sweep is due');
    },
    sweep: async (seconds, scope = 'expired') => {
      nowS = START_S + seconds;
      replay.flush();
      const records: FlowRecord[] = [];
      for await (const { bytes, count } of replay.sweep(scope)) {
        const copy = Buffer.from(bytes);
        for (let i = 0; i < count; i++)
          records.push(new FlowRecord().at(copy, i * FLOW_RECORD.size));
      }
      return records;
    },
  };
}

function frameOf(seconds: number, bytes: Buffer): ReplayFrame {
  return {
    ...{ bytes, start: 0, end: bytes.length, wireOctets: bytes.length },
    ...{ wantedOctets: bytes.length, seconds: START_S + seconds, nanoseconds: 0 },
    ...{ interfaceIndex: 1, linkOctets: 0, ethertype: 0 },
  };
}

function frameV4(port: number): Buffer {
  return ethernet('ipv4', ipv4({ protocol: UDP }, udp(10, [port, 53])));
}

function frameV6(port: number): Buffer {
  return ethernet('ipv6', ipv6({ nextHeader: UDP }, udp(10, [port, 53])));
}

t.test('a frame of any length is taken alone', { skip }, async (t) => {
  const { replay, add } = openLab(t, {});
  const lengths = Array.from({ length: 40 }, (_, octets) => octets);
  for (const octets of lengths) {
    add(0, Buffer.alloc(octets));
    // To the kernel the length 8 looks like an EtherType.
    replay.flush();
  }
  const { NON_IP_FRAMES, MALFORMED_PACKETS } = replay.counters();
  t.equal(NON_IP_FRAMES + MALFORMED_PACKETS, lengths.length);
});

t.test('the cache is walked only where a timeout can have passed', { skip }, async (t) => {
  const { replay, add, sweep } = openLab(t, { timeouts: timeoutsOf(60_000, 300_000) });
  const walks = (): number => replay.cacheUse().walks;
  for (let second = 0; second < 60; second += 4) {
    add(second, frameV4(1 + second));
    t.same(await sweep(second), []);
  }
  t.equal(walks(), 0, 'all flows are younger than each timeout');
  t.match(await sweep(60), [{ sourcePort: 1 }], 'just when it has passed');
  t.equal(walks(), 1);
  t.equal((await sweep(1000)).length, 14);
  t.equal(walks(), 2);
  for (let second = 2000; second < 3000; second += 100) t.same(await sweep(second), []);
  t.equal(walks(), 2, 'an empty cache is not walked');
  add(3000, frameV4(1));
  t.same(await sweep(3059), []);
  t.equal(walks(), 2, 'flows that are gone are forgotten');
  add(2990, frameV4(2));
  t.match(await sweep(3059), [{ sourcePort: 2 }], 'of a time before');
  t.match(await sweep(3059, 'all'), [{ sourcePort: 1 }]);
  t.equal(walks(), 4);
});

t.test('of a flow that goes on the active timeout counts too', { skip }, async (t) => {
  const { replay, add, sweep } = openLab(t, { timeouts: { ...NEVER, maxlife: 60_000 } });
  for (const second of [0, 50]) {
    add(second, frameV4(1));
    t.same(await sweep(second), []);
  }
  t.equal(replay.cacheUse().walks, 0);
  t.match(await sweep(61), [{ packets: 2 }]);
});

t.test('more flows than there should be are walked for', { skip }, async (t) => {
  const { replay, add, sweep } = openLab(t, { maxFlows: 10 });
  for (let port = 1; port <= 11; port++) add(port, frameV4(port));
  t.match(await sweep(11), [{ sourcePort: 1 }]);
  t.equal(replay.cacheUse().walks, 1);
});

t.test('a sparse capture has a small cache, which grows and keeps all', { skip }, async (t) => {
  const FLOWS = 1500;
  const frames = Array.from({ length: 2 * FLOWS }, (_, i) => {
    const port = 1 + (i % FLOWS);
    return port % 3 === 0 ? frameV6(port) : frameV4(port);
  });
  const first = ipv4({ protocol: UDP, id: 7, moreFragments: true }, udp(24, [9000, 53]));
  const later = ipv4({ protocol: UDP, id: 7, fragmentOffset: 3 }, Buffer.alloc(16));
  const told = async (isSparse: boolean) => {
    const lab = openLab(t, { isSparse, sampling: { kind: 'count', interval: 1 } });
    lab.add(0, ethernet('ipv4', first));
    const atFirst = lab.replay.cacheUse().room;
    frames.forEach((frame, i) => {
      lab.add(Math.floor(i / 1000), frame);
    });
    lab.add(9, ethernet('ipv4', later));
    lab.replay.flush();
    const atLast = lab.replay.cacheUse().room;
    // A walk that removes passes over an entry now and then.
    const records = [...(await lab.sweep(10, 'all')), ...(await lab.sweep(10, 'all'))];
    const lines = records.map(({ sourcePort, ipVersion, packets, octets, firstNs, lastNs }) =>
      [sourcePort, ipVersion, packets, octets, firstNs, lastNs].join(' '),
    );
    return { atFirst, atLast, lines: lines.sort(), counters: lab.replay.counters() };
  };
  const [grown, large] = [await told(true), await told(false)];
  t.ok(grown.atFirst < 2000 && grown.atLast > 65_536, `${grown.atFirst}, then ${grown.atLast}`);
  t.equal(large.atFirst, grown.atLast);
  t.same(grown.lines, large.lines);
  t.equal(grown.lines.length, FLOWS + 1);
  t.same(grown.counters, large.counters);
  t.match(grown.counters, { METERED_PACKETS: 2 * FLOWS + 2, FRAGMENTS_UNMATCHED: 0 });
  t.match(grown.counters, { FLOWS_CREATED: FLOWS + 1, FLOWS_DELETED: FLOWS + 1 });
});
