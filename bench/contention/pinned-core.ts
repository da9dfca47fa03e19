// A process on one CPU that runs packets through programs (pinned-runner.ts), seen from outside.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Teardown } from '../../test/support/program.js';

const RUNNER = fileURLToPath(new URL('pinned-runner.js', import.meta.url));
/** Others on the machine shall not come between, for the tenth of a second that a measurement takes. */
const REAL_TIME = ['chrt', '--fifo', '1'] as const;
/** Of the first descriptor that a child is handed beside the usual three. */
const FIRST_FD = 3;

export interface RunOrder {
  readonly programFd: number;
  /** Flows are told apart by base + (number of the packet & mask). */
  readonly mask: number;
  readonly base: number;
  /** Of each run. */
  readonly packets: number;
  readonly runs: number;
}

export interface TimedRun {
  readonly beganMs: number;
  readonly endedMs: number;
  /** A packet, on average. */
  readonly ns: number;
  readonly packets: number;
}

export interface PinnedCore {
  /** @param program which of the programs that the core was given */
  readonly run: (
    program: number,
    order: Omit<RunOrder, 'programFd'>,
  ) => Promise<readonly TimedRun[]>;
}

/** @param programFds what the process can run, in this order */
export async function startPinnedCore(
  t: Teardown,
  cpu: number,
  namespace: string,
  programFds: readonly number[],
): Promise<PinnedCore> {
  const place = [...REAL_TIME, 'taskset', '-c', String(cpu)];
  const command = [...place, process.execPath, RUNNER];
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
    stdio: ['pipe', 'pipe', 'inherit', ...programFds],
  });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error('no pipes');
  const exit = once(child, 'exit');
  t.teardown(async () => {
    stdin.end();
    await exit;
  });
  const lines = createInterface(stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the process of CPU ${cpu} has ended`);
    return value;
  };
  await next();
  return {
    run: async (program, order) => {
      stdin.write(`${JSON.stringify({ ...order, programFd: FIRST_FD + program })}\n`);
      return JSON.parse(await next()) as TimedRun[];
    },
  };
}

/** Of a run's time that others may have had the processor; and what of it another core must have run too. */
const UNDISTURBED = 1.15;
const MOST_OF_IT = 0.9;

/** Those during which the other core was at work as well, neither of them kept from it by others. */
export function overlapping(
  first: readonly TimedRun[],
  second: readonly TimedRun[],
): readonly TimedRun[] {
  const [one, other] = [first.filter(isUndisturbed), second.filter(isUndisturbed)];
  return [
    ...one.filter((run) => isCovered(run, other)),
    ...other.filter((run) => isCovered(run, one)),
  ];
}

function isUndisturbed({ beganMs, endedMs, ns, packets }: TimedRun): boolean {
  return (endedMs - beganMs) * 1e6 <= UNDISTURBED * ns * packets;
}

function isCovered({ beganMs, endedMs }: TimedRun, others: readonly TimedRun[]): boolean {
  let coveredMs = 0;
  for (const other of others) {
    const shared = Math.min(endedMs, other.endedMs) - Math.max(beganMs, other.beganMs);
    if (shared > 0) coveredMs += shared;
  }
  return coveredMs >= MOST_OF_IT * (endedMs - beganMs);
}
