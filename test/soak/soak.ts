// The soak: mixed traffic while processes and interfaces come and go and collectors are killed. In the
// end what the collectors received is what the interface counted, and nothing is left.
import { execFileSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import {
  bringUp,
  createNamespace,
  createNamespacePair,
  ETHERNET_OCTETS,
  interfaceCounters,
  introduceStranger,
  takeDown,
  turnOffloadOff,
  type Side,
} from '../support/network-namespace.js';
import { runProcflow } from '../support/procflow.js';
import type { Teardown } from '../support/program.js';
import { createCgroup } from '../support/test-cgroup.js';
import { PassingInterfaces } from './passing-interfaces.js';
import { totalOf, type Sums } from './received.js';
import { startTcpCollector, startUdpCollector, type TcpCollector } from './soak-collectors.js';
import { SoakDaemon, type Usage } from './soak-daemon.js';
import { makeTraffic, STRANGER, type Scene } from './soak-traffic.js';

export interface SoakOptions {
  readonly seconds: number;
  /** Of `--state`: the daemon is killed too. Undefined: everything would be gone with it. */
  readonly stateDirectory?: string | undefined;
}

/** So long the daemon waits before it connects again. */
const RECONNECTION_S = 60;
const POLL_MS = 50;

/** How often each happened. */
export interface SoakEvents {
  readonly conversations: number;
  readonly passingInterfaces: number;
  readonly tcpCollectorStarts: number;
  readonly udpCollectorStarts: number;
  readonly daemonStarts: number;
}

export interface SoakResult {
  readonly seconds: number;
  readonly events: SoakEvents;
  /** What a's end of the wire counted. */
  readonly wire: Sums;
  /** What was sent through interfaces that came and went. */
  readonly passing: Sums;
  /** What the kernel's counters say was lost. */
  readonly lost: Sums;
  readonly tcp: { readonly wire: Sums; readonly passing: Sums; readonly sequenceErrors: number };
  readonly udp: Sums & { readonly sequenceErrors: number };
  readonly records: number;
  /** Of the daemon, after each event. */
  readonly usage: readonly Usage[];
  readonly bpfSeen: number;
  readonly left: readonly string[];
  /** Lines of the summary that tell of losses. */
  readonly losses: readonly string[];
}

export async function runSoak(t: Teardown, options: SoakOptions): Promise<SoakResult> {
  const stage = await openStage(t, options);
  const { daemon, pair, scene, passing, tcp, udp } = stage;
  const endMs = performance.now() + options.seconds * 1000;
  const isOver = new AbortController();
  const traffic = makeTraffic(scene, isOver.signal);
  // It is awaited only after the last event.
  traffic.catch(() => undefined);
  const usage: Usage[] = [];
  const events = soakEvents(t, stage, options);
  try {
    for (let i = 0; performance.now() < endMs || i < events.length; i++) {
      await events[i % events.length]?.();
      usage.push(daemon.usage());
    }
    await stage.reconnection.done();
    // A collector that was started last is to hear templates, which come with a sweep.
    await daemon.quiet('udp');
    await daemon.quiet('tcp');
  } finally {
    isOver.abort();
  }
  const conversations = await traffic;

  takeDown(pair);
  const counters = interfaceCounters(pair.a);
  const index = interfaceIndex(pair.a);
  // With a state directory an orderly end leaves the flows to the next start.
  if (options.stateDirectory !== undefined) await daemon.expireAll();
  const summary = await daemon.stop();
  if (options.stateDirectory !== undefined) await detach(t, options.stateDirectory);
  await tcp.end();
  await udp.end();
  const { interfaces, records, sequenceErrors } = tcp.received();
  const { [index]: onWire = { packets: 0, octets: 0 }, ...others } = interfaces;
  const packets = counters.sentPackets + counters.receivedPackets;
  const octets = counters.sentOctets + counters.receivedOctets - ETHERNET_OCTETS * packets;
  return {
    seconds: options.seconds,
    events: {
      conversations,
      passingInterfaces: passing.count,
      tcpCollectorStarts: tcp.starts(),
      udpCollectorStarts: udp.starts(),
      daemonStarts: daemon.starts,
    },
    wire: { packets, octets },
    passing: passing.sent,
    lost: { packets: summary.counter('LOST_PACKETS'), octets: summary.counter('LOST_OCTETS') },
    tcp: { wire: onWire, passing: totalOf(others), sequenceErrors },
    udp: udp.totals(),
    records,
    usage,
    bpfSeen: daemon.bpfSeen,
    left: await daemon.leftInKernel(),
    losses: summary.lines.filter((line) => line.includes('LOSS')),
  };
}

async function openStage(t: Teardown, { stateDirectory }: SoakOptions) {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  turnOffloadOff(pair);
  const scene: Scene = {
    pair,
    a: { namespace: pair.a, cgroup },
    b: { namespace: pair.b, cgroup },
  };
  const tcp = await startTcpCollector(t);
  const udp = await startUdpCollector(t);
  const daemon = new SoakDaemon(t, {
    ...{ namespace: pair.a, interfaces: ['any'], cgroup },
    destinations: [
      `tcp://127.0.0.1:${tcp.port}?version=10`,
      // A collector that was started anew has no templates: each sweep begins with them.
      `udp://127.0.0.1:${udp.port}?version=9&template-refresh=1`,
    ],
    options: [
      ...['--idle-timeout', '1', '--active-timeout', '3'],
      ...(stateDirectory === undefined ? [] : ['--state', stateDirectory]),
    ],
  });
  await daemon.start();
  const passing = new PassingInterfaces(scene.a, createNamespace(t));
  bringUp(pair);
  introduceStranger(pair.a, STRANGER);
  const reconnection = new Reconnection(daemon, tcp);
  return { daemon, pair, scene, passing, tcp, udp, reconnection };
}

type Stage = Awaited<ReturnType<typeof openStage>>;

/** What happens besides the traffic, one after the other. */
type SoakEvent = () => Promise<void>;

function soakEvents(t: Teardown, stage: Stage, options: SoakOptions): readonly SoakEvent[] {
  const { daemon, passing, udp, reconnection } = stage;
  const pass: SoakEvent = async () => {
    await passing.pass(t, daemon);
  };
  const events: SoakEvent[] = [
    pass,
    async () => {
      await daemon.hold('udp', async () => {
        await udp.end();
        await udp.start();
      });
    },
    pass,
  ];
  // Else there would be no end before the daemon tries again.
  if (options.seconds >= RECONNECTION_S) {
    events.push(async () => {
      if (reconnection.isDone()) await reconnection.begin();
    });
  }
  if (options.stateDirectory !== undefined) {
    events.push(async () => {
      await daemon.kill();
      await daemon.start();
      reconnection.reset();
    });
  }
  return events;
}

/** The collector over TCP is killed, and started again before the daemon looks for it, once a minute. */
class Reconnection {
  readonly #daemon: SoakDaemon;
  readonly #tcp: TcpCollector;
  /** Since the daemon was started. */
  #begun = 0;

  constructor(daemon: SoakDaemon, tcp: TcpCollector) {
    this.#daemon = daemon;
    this.#tcp = tcp;
  }

  async begin(): Promise<void> {
    this.#begun++;
    await this.#daemon.hold('tcp', this.#tcp.end);
    await this.#tcp.start();
  }

  isDone(): boolean {
    return this.#daemon.hasSaid(/connected to tcp:/, this.#begun);
  }

  reset(): void {
    this.#begun = 0;
  }

  async done(): Promise<void> {
    const lateMs = performance.now() + 2 * RECONNECTION_S * 1000;
    while (!this.isDone()) {
      if (performance.now() > lateMs)
        throw new Error('the daemon does not come back to its collector');
      await delay(POLL_MS);
    }
  }
}

/** What an orderly end leaves in the kernel for the next start. */
async function detach(t: Teardown, stateDirectory: string): Promise<void> {
  const { end, err } = await runProcflow(t, ['detach', '--state', stateDirectory]);
  if (end.code !== 0) throw new Error(err);
}

function interfaceIndex({ name, interfaceName }: Side): number {
  const shown = execFileSync('ip', ['-n', name, '-j', 'link', 'show', interfaceName], {
    encoding: 'utf8',
  });
  const [{ ifindex }] = JSON.parse(shown) as [{ ifindex: number }];
  return ifindex;
}
