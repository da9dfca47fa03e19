// Debian's softflowd, and procflow under its name: both run with the same command line, and what
// nfdump prints of their flows.
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNfcapd, type Nfcapd } from './nfcapd.js';
import { startProgram, type Program, type Teardown } from './program.js';
import { PROJECT_ROOT } from './requirements.js';

/** A flow record as nfdump prints it. */
export interface ReportedFlow {
  /** "6 192.0.2.1:80 > 192.0.2.2:4444": ICMP's type and code stand in the place of the second port. */
  readonly key: string;
  /** Of both directions, and the protocol. */
  readonly connection: string;
  /** Milliseconds since 1970. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly flags: string;
  readonly packets: number;
  readonly octets: number;
  /** The other direction's, in a biflow. */
  readonly reversePackets: number;
  readonly reverseOctets: number;
  readonly interfaces: string;
}

const FORMAT = 'fmt:%ts;%te;%pr;%sa;%sp;%da;%dp;%flg;%ipkt;%ibyt;%opkt;%obyt;%in;%out';

/** The program under a name of its own, as an administrator links it. */
export function linkProcflow(t: Teardown, name: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-link-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, name);
  symlinkSync(join(PROJECT_ROOT, 'bin/procflow'), path);
  return path;
}

/** Without what tap tells Node's processes. */
export function startLinked(t: Teardown, path: string, args: readonly string[]): Program {
  return startProgram(t, 'env', ['-u', 'NODE_OPTIONS', path, ...args]);
}

export interface Run {
  readonly flows: readonly ReportedFlow[];
  /** What the second collector got. */
  readonly second: readonly ReportedFlow[];
  readonly program: Program;
}

/** Stand in a command line for the addresses of collectors. */
export const COLLECTOR = 'COLLECTOR';
export const SECOND_COLLECTOR = 'SECOND';

/**
 * Runs a command line to its end, with an nfcapd for each collector in it.
 * @param path of softflowd, or of a link to procflow
 */
export async function runToNfcapd(
  t: Teardown,
  path: string,
  args: readonly string[],
): Promise<Run> {
  const names = [COLLECTOR, SECOND_COLLECTOR].filter((name) =>
    args.some((arg) => arg.includes(name)),
  );
  const collectors = new Map<string, Nfcapd>();
  for (const name of names) collectors.set(name, await startNfcapd(t));
  const words = args.map((arg) => {
    let word = arg;
    for (const [name, { port }] of collectors) word = word.replace(name, `127.0.0.1:${port}`);
    return word;
  });
  const program = startLinked(t, path, words);
  const { code, signal } = await program.ended;
  if (code !== 0) {
    throw new Error(`${words.join(' ')}: ${signal ?? code}\n${program.err.join('\n')}`);
  }
  const flowsAt = async (name: string): Promise<readonly ReportedFlow[]> => {
    const collector = collectors.get(name);
    return collector === undefined ? [] : reportedFlows(collector);
  };
  return { flows: await flowsAt(COLLECTOR), second: await flowsAt(SECOND_COLLECTOR), program };
}

/** Ends the collector. */
export async function reportedFlows(nfcapd: Nfcapd): Promise<readonly ReportedFlow[]> {
  await nfcapd.stop();
  const lines = nfcapd.nfdump('-q', '-N', '-6', '-o', FORMAT).split('\n');
  return lines.filter((line) => line.includes(';')).map(toReportedFlow);
}

function toReportedFlow(line: string): ReportedFlow {
  const parts = line.split(';').map((part) => part.trim());
  const [first = '', last = '', protocol = '', source = '', sourcePort = ''] = parts;
  const [destination = '', destinationPort = '', flags = '', ...numbers] = parts.slice(5);
  const [packets = 0, octets = 0, reversePackets = 0, reverseOctets = 0] = numbers.map(Number);
  const ends = [`${source}:${sourcePort}`, `${destination}:${destinationPort}`];
  return {
    key: `${protocol} ${ends.join(' > ')}`,
    connection: `${protocol} ${ends
      .map((end) => end.replace(/:0\.0$/, ':0'))
      .toSorted()
      .join(' - ')}`,
    firstMs: localMs(first),
    lastMs: localMs(last),
    flags,
    packets,
    octets,
    reversePackets,
    reverseOctets,
    interfaces: numbers.slice(4).join('>'),
  };
}

/** "2016-04-07 17:11:32.478" in the time zone that nfdump and Node share. */
function localMs(time: string): number {
  return Date.parse(time.replace(' ', 'T'));
}
