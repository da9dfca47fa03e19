// Hostile frames as those of a capture file, packed into one buffer, whole and cut to what is wanted of
// them; and as packets of an interface. Their flows must be the same.
import t from 'tap';
import { openFrameReplay, type FrameReplay } from '../../src/bpf-loader/capture-replay.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import {
  openNetworkNamespace,
  type NetworkNamespace,
} from '../../src/bpf-loader/network-namespace.js';
import { readLinkLayer, wantedOctets, type LinkLayer } from '../../src/capture-file/link-layer.js';
import { FLOW_FLAG, FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import type { FlowSource } from '../../src/flow/flow-source.js';
import { ETHERNET } from '../support/capture-frames.js';
import { createNamespacePair } from '../support/network-namespace.js';
import { cannotLoadPrograms, openPacketLab, type PacketLab } from '../support/packet-lab.js';
import { NEVER } from '../support/timeouts.js';
import { frameChanges, frameCorpus, isTakenByKernel } from './frames.js';
import { fuzz } from './fuzz-rounds.js';
import { mutated } from './mutate.js';
import type { Random } from './random.js';

const skip = cannotLoadPrograms();
const FRAMES = 1000;
const VETH = 2;
const MAX_FLOWS = 2 * FRAMES;
const ROUNDS_OF_LABS = 50;
/** Fragments are matched for 30 seconds, of different clocks. */
const LABS_MS = 20_000;
const TIME = { seconds: 1_700_000_000, nanoseconds: 0 };

const F = FLOW_RECORD.fields;
/** What a packet says: not the times, processes and where it was metered. */
const TOLD = [
  ...[F.packets, F.octets, F.source_address, F.destination_address, F.source_port],
  ...[F.destination_port, F.tcp_flags, F.min_length, F.max_length, F.icmp_type_code, F.icmp_id],
  ...[F.vlan_id, F.inner_vlan_id, F.source_mac, F.destination_mac, F.ip_version, F.protocol],
  ...[F.tos, F.min_ttl, F.max_ttl],
];
const TOLD_FLAGS = FLOW_FLAG.FLOW_FRAGMENTED | FLOW_FLAG.FLOW_ENDED;

async function flowsOf(source: Pick<FlowSource, 'sweep'>): Promise<string> {
  const flows: string[] = [];
  let before = -1;
  // A pass skips some where it has deleted others.
  while (before < flows.length) {
    before = flows.length;
    for await (const { bytes } of source.sweep('all')) {
      for (let at = 0; at < bytes.length; at += FLOW_RECORD.size) {
        const fields = TOLD.map(({ offset, size }) =>
          bytes.toString('hex', at + offset, at + offset + size),
        );
        flows.push([...fields, bytes.readUInt8(at + F.flags.offset) & TOLD_FLAGS].join(' '));
      }
    }
  }
  return flows.sort().join('\n');
}

interface Labs {
  readonly packets: PacketLab;
  readonly whole: FrameReplay;
  readonly cut: FrameReplay;
  readonly openedMs: number;
}

class ThreeWays {
  readonly #namespace: NetworkNamespace;
  readonly #changes = frameChanges(frameCorpus());
  readonly #link: LinkLayer = { octets: 0, ethertype: 0, interfaceIndex: undefined };
  #labs: Labs | undefined;
  #rounds = 0;

  constructor(namespace: NetworkNamespace) {
    this.#namespace = namespace;
  }

  close(): void {
    this.#labs?.packets.close();
    this.#labs?.whole.close();
    this.#labs?.cut.close();
    this.#labs = undefined;
  }

  async round(random: Random): Promise<number> {
    const openedMs = this.#labs?.openedMs ?? 0;
    const isOld = performance.now() - openedMs > LABS_MS;
    if (this.#rounds++ % ROUNDS_OF_LABS === 0 || isOld) this.close();
    const { packets, whole, cut } = (this.#labs ??= openLabs());
    const frames = Array.from({ length: FRAMES }, () => mutated(random, this.#changes)).filter(
      (bytes) => isTakenByKernel({ bytes, length: bytes.length }),
    );
    this.#namespace.run(() => {
      for (const bytes of frames) packets.run({ bytes, interfaceIndex: VETH });
    });
    for (const bytes of frames) {
      this.#replay(whole, bytes, Infinity);
      this.#replay(cut, bytes, undefined);
    }
    whole.flush();
    cut.flush();
    const ofWhole = await flowsOf(whole);
    expectSame(await flowsOf(cut), ofWhole, 'cut to what is wanted');
    const ofPackets = await flowsOf(packets.cache);
    expectSame(ofWhole, ofPackets, 'of a capture file');
    return frames.length;
  }

  #replay(replay: FrameReplay, bytes: Buffer, wanted: number | undefined): void {
    const octets = { bytes, start: 0, end: bytes.length, wireOctets: bytes.length };
    const captured = {
      ...octets,
      ...TIME,
      linkType: ETHERNET,
      interfaceId: 0,
      isLittleEndian: true,
    };
    const link = this.#link;
    readLinkLayer(captured, link);
    const wantedOfIt = wanted ?? wantedOctets(captured, link);
    const { octets: linkOctets, ethertype } = link;
    replay.add({
      ...captured,
      wantedOctets: wantedOfIt,
      interfaceIndex: VETH,
      linkOctets,
      ethertype,
    });
  }
}

function openLabs(): Labs {
  const options = {
    timeouts: NEVER,
    maxFlows: MAX_FLOWS,
    nowNs: () => BigInt(TIME.seconds) * 10n ** 9n,
  };
  return {
    packets: openPacketLab(MAX_FLOWS),
    whole: openFrameReplay(options),
    cut: openFrameReplay(options),
    openedMs: performance.now(),
  };
}

function expectSame(found: string, expected: string, what: string): void {
  if (found === expected) return;
  const [ours, theirs] = [new Set(found.split('\n')), new Set(expected.split('\n'))];
  const differences = [
    ...[...ours].filter((flow) => !theirs.has(flow)).map((flow) => `+ ${flow}`),
    ...[...theirs].filter((flow) => !ours.has(flow)).map((flow) => `- ${flow}`),
  ];
  throw new Error(`flows ${what} differ:\n${differences.slice(0, 8).join('\n')}`);
}

t.test('any frames, of a capture file and of an interface: the same flows', { skip }, async (t) => {
  const namespace = openNetworkNamespace(createNamespacePair(t).a.path, loadLibc());
  t.teardown(() => namespace.close());
  const ways = new ThreeWays(namespace);
  t.teardown(() => {
    ways.close();
  });
  await fuzz(t, 'replayed frames', {
    share: 0.1,
    cases: 'frames by three ways',
    round: (random) => ways.round(random),
  });
});
