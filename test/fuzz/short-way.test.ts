// Hostile frames by both ways: plain packets of known flows go a short one (bpf/plain_packet.h), and where
// packets are sampled all take the long one. Their flows must be the same.
import t from 'tap';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import {
  openNetworkNamespace,
  type NetworkNamespace,
} from '../../src/bpf-loader/network-namespace.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { createNamespacePair } from '../support/network-namespace.js';
import {
  cannotLoadPrograms,
  openPacketLab,
  type PacketLab,
  type PacketRun,
} from '../support/packet-lab.js';
import { frameChanges, frameCorpus, isTakenByKernel, MAX_FRAME_OCTETS } from './frames.js';
import { fuzz } from './fuzz-rounds.js';
import { mutate, type Mutable } from './mutate.js';
import type { Random } from './random.js';

const skip = cannotLoadPrograms();
const FRAMES = 500;
const VETH = 2; // loopback goes the long way
/** All of them at an interval of one: the same packets by the long way. */
const EVERY_PACKET = { sampling: { kind: 'count', interval: 1 } } as const;
/** So that both forget none: which ones a full map forgets is a matter of chance. */
const FRAGMENTS = 131_072;
const ROUNDS_OF_LABS = 200;
const MAX_FLOWS = 4 * FRAMES;
/** Of the frames that were chosen: only known flows go the short way. */
const TIMES = 3;
/** What goes by the time: when a process is looked for again. */
const { first_ns, last_ns, source, destination } = FLOW_RECORD.fields;
const TIMED = [first_ns, last_ns, source, destination];

type Frame = Omit<PacketRun, 'program'>;

class TwoWays {
  readonly #namespace: NetworkNamespace;
  readonly #changes = frameChanges(frameCorpus());
  readonly #frame: Mutable = { bytes: Buffer.alloc(MAX_FRAME_OCTETS + 64), length: 0 };
  #labs: readonly [PacketLab, PacketLab] | undefined;
  #rounds = 0;

  constructor(namespace: NetworkNamespace) {
    this.#namespace = namespace;
  }

  close(): void {
    for (const lab of this.#labs ?? []) lab.close();
    this.#labs = undefined;
  }

  async round(random: Random): Promise<number> {
    if (this.#rounds++ % ROUNDS_OF_LABS === 0) this.close();
    const maxEntries = { fragments: FRAGMENTS };
    const [short, long] = (this.#labs ??= [
      openPacketLab(MAX_FLOWS, {}, { maxEntries }),
      openPacketLab(MAX_FLOWS, {}, { maxEntries, ...EVERY_PACKET }),
    ]);
    const frames = this.#frames(random);
    const [found, expected] = [await this.#flows(short, frames), await this.#flows(long, frames)];
    for (const [i, flow] of expected.entries()) {
      if (found[i] !== flow)
        throw new Error(`a flow by the short way\n${found[i] ?? ''}\nis not\n${flow}`);
    }
    if (found.length !== expected.length)
      throw new Error(`${found.length} flows, not ${expected.length}`);
    return frames.length;
  }

  #frames(random: Random): Frame[] {
    const frames: Frame[] = [];
    while (frames.length < FRAMES) {
      mutate(this.#frame, random, this.#changes);
      if (!isTakenByKernel(this.#frame)) continue;
      const bytes = Buffer.from(this.#frame.bytes.subarray(0, this.#frame.length));
      const gsoSize = random.oneIn(2) ? random.between(1, bytes.length) : random.between(1, 65_535);
      const gsoSegs = random.oneIn(6) ? random.below(65_536) : random.below(6);
      frames.push({
        bytes,
        repeat: random.between(1, 20),
        interfaceIndex: VETH,
        ...(random.oneIn(4) && { gsoSize, gsoSegs }),
      });
    }
    return frames;
  }

  async #flows(lab: PacketLab, frames: readonly Frame[]): Promise<readonly string[]> {
    this.#namespace.run(() => {
      for (const program of ['flow_ingress', 'flow_egress'] as const) {
        for (let time = 0; time < TIMES; time++) {
          for (const frame of frames) lab.run({ ...frame, program });
        }
      }
    });
    const flows: string[] = [];
    while (flows.length === 0 || lab.cache.flowCount() > 0) {
      for await (const { bytes } of lab.cache.sweep('all')) {
        for (let at = 0; at < bytes.length; at += FLOW_RECORD.size) {
          const record = Buffer.from(bytes.subarray(at, at + FLOW_RECORD.size));
          for (const { offset, size } of TIMED) record.fill(0, offset, offset + size);
          flows.push(record.toString('hex'));
        }
      }
    }
    return flows.sort();
  }
}

t.test('any frames: the short way counts what the long way counts', { skip }, async (t) => {
  const namespace = openNetworkNamespace(createNamespacePair(t).a.path, loadLibc());
  t.teardown(() => namespace.close());
  const ways = new TwoWays(namespace);
  t.teardown(() => {
    ways.close();
  });
  await fuzz(t, 'short way', {
    share: 0.1,
    cases: 'frames by both ways',
    round: (random) => ways.round(random),
  });
});
