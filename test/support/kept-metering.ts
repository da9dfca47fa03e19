// procflow with a state directory: sessions that are killed and started again, and what they printed.
import { execFileSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { bpfDirectory, pinsBelow } from './bpf-directory.js';
import { interfaceCounters, type Side } from './network-namespace.js';
import { runProcflow, startProcflow } from './procflow.js';
import { startProgram, type Program, type Teardown } from './program.js';
import type { CapturedFlow } from './socket-capture.js';

export interface KeptMetering {
  readonly directory: string;
  /** Of a session in which flows do not expire by themselves. */
  readonly arguments: readonly string[];
  /** Starts a session, in which flows expire after so long; it meters when this resolves. */
  readonly start: (timeoutS: number, ...options: readonly string[]) => Promise<Program>;
  /** The same with another program, in which flows do not expire by themselves. */
  readonly startOther: (program: string) => Promise<Program>;
  /** A session of short timeouts until so many packets are in the records of its flows. */
  readonly flowsOf: (
    packets: number,
    matches?: (flow: CapturedFlow) => boolean,
  ) => Promise<readonly CapturedFlow[]>;
  readonly detach: (...options: readonly string[]) => Promise<string>;
}

const NEVER_S = 600;
const SOON_S = 0.2;

/** @param place options that say where packets are metered */
export function keepMetering(t: Teardown, place: readonly string[]): KeptMetering {
  const directory = bpfDirectory(t);
  const liveArguments = (timeoutS: number): string[] => {
    const timeouts = ['--active-timeout', String(NEVER_S), '--idle-timeout', String(timeoutS)];
    return ['live', '--json', ...place, ...timeouts, '--state', directory];
  };
  const start: KeptMetering['start'] = async (timeoutS, ...options) => {
    const live = startProcflow(t, [...liveArguments(timeoutS), ...options]);
    await live.line('err', /metering/);
    return live;
  };
  return {
    directory,
    arguments: liveArguments(NEVER_S),
    start,
    startOther: async (program) => {
      const args = ['-u', 'NODE_OPTIONS', program, ...liveArguments(NEVER_S)];
      const live = startProgram(t, 'env', args);
      await live.line('err', /metering/);
      return live;
    },
    flowsOf: async (packets, matches = () => true) => {
      const live = await start(SOON_S);
      const found = (): CapturedFlow[] => flowsIn(live).filter(matches);
      const metered = (): number =>
        found().reduce((sum, { packetDeltaCount }) => sum + packetDeltaCount, 0);
      while (metered() < packets) await live.lines('out', /^\{/, flowsIn(live).length + 1);
      await live.stop();
      return found();
    },
    detach: async (...options) => {
      const detach = ['detach', '--state', directory, ...options];
      const { end, out, err } = await runProcflow(t, detach);
      if (end.code !== 0) throw new Error(err);
      return out;
    },
  };
}

/** A session that nobody restarts: flows do not expire by themselves. */
export function startLong(kept: KeptMetering, ...options: readonly string[]): Promise<Program> {
  return kept.start(NEVER_S, ...options);
}

/** What a session has printed. */
export function flowsIn(live: Program): CapturedFlow[] {
  return live.out.map((line) => JSON.parse(line) as CapturedFlow);
}

/** Until an interface has sent so many packets more. */
export async function untilSent(side: Side, packets: number): Promise<void> {
  const until = interfaceCounters(side).sentPackets + packets;
  while (interfaceCounters(side).sentPackets < until) await delay(5);
}

/** The kernel's numbers of the links that are pinned below a directory. */
export function pinnedLinks(directory: string): number[] {
  return pinsBelow(`${directory}/links`).map((path) => {
    const shown = execFileSync('bpftool', ['-j', 'link', 'show', 'pinned', path], {
      encoding: 'utf8',
    });
    return (JSON.parse(shown) as { id: number }).id;
  });
}

/** The kernel frees links a while after their last pin is gone. */
export async function untilGone(links: readonly number[]): Promise<void> {
  for (;;) {
    const shown = execFileSync('bpftool', ['-j', 'link', 'show'], { encoding: 'utf8' });
    const there = new Set((JSON.parse(shown) as { id: number }[]).map(({ id }) => id));
    if (links.every((id) => !there.has(id))) return;
    await delay(10);
  }
}
