// softflowd and procflow under its name read the same capture with the same command line: nfdump must
// print the same flows of both, but for differences that docs/softflowd.md explains.
import { join } from 'node:path';
import t from 'tap';
import { compareFlows, type FlowDifference, type Times } from './compare-flows.js';
import { paddingOctets } from './padding.js';
import { missingRequirement, PROJECT_ROOT } from './requirements.js';
import { COLLECTOR, linkProcflow, runToNfcapd, SECOND_COLLECTOR, type Run } from './softflowd.js';

const skip = missingRequirement('softflowd');
/** A command line takes seconds where nobody else has a processor. */
const TIMEOUT_MS = 900_000;
t.setTimeout(TIMEOUT_MS);
export const CAPTURES = join(PROJECT_ROOT, 'test/captures/ipfixprobe');
export const captureNamed = (name: string): string => join(CAPTURES, `${name}.pcap`);

/** In the foreground, without a control socket, by the capture's times. */
export const USUAL = ['-d', '-c', 'none', '-a'];
export const TO = ['-n', COLLECTOR];
export const IPFIX = ['-v', '10', '-A', 'milli'];

export interface CommandLine {
  /** What of softflowd's manual it is. */
  readonly name: string;
  readonly capture: string;
  readonly args: readonly string[];
  /** Words of a filter expression. */
  readonly filter?: readonly string[];
  readonly times: Times;
  /** Something must have been exported. */
  readonly isEmpty?: true;
}

interface Context extends CommandLine {
  readonly padding: ReadonlyMap<string, number>;
}

/** The same as in docs/softflowd.md, with the same names. */
const DELIBERATE: readonly {
  readonly name: string;
  readonly explains: (difference: FlowDifference, context: Context) => boolean;
}[] = [
  {
    name: 'Padding',
    explains: ({ aspect, key, theirs, ours }, { padding }) =>
      aspect === 'octets' && Number(theirs) - Number(ours) === padding.get(key),
  },
  {
    name: 'TCP flags with -T ip and -T proto',
    explains: ({ aspect, theirs }, { args }) =>
      aspect === 'flags' && /^\.+$/.test(theirs) && (args.includes('ip') || args.includes('proto')),
  },
];

const text = ({ aspect, key, theirs, ours }: FlowDifference): string =>
  `${aspect} of ${key}: softflowd ${theirs}, procflow ${ours}`;

function unexplained(differences: readonly FlowDifference[], line: CommandLine): string[] {
  if (differences.length === 0) return [];
  const context = { ...line, padding: paddingOctets(captureNamed(line.capture)) };
  return differences
    .filter((each) => !DELIBERATE.some(({ explains }) => explains(each, context)))
    .map(text);
}

export function compareRuns(line: CommandLine): void {
  const { name, capture, args, filter = [], times, isEmpty } = line;
  t.test(`${capture} with ${name} gives the same flows`, { skip }, async (t) => {
    const words = [...USUAL, ...args, '-r', captureNamed(capture), ...filter];
    const programs = [linkProcflow(t, 'softflowd'), 'softflowd'];
    const runs = programs.map((program) => runToNfcapd(t, program, words));
    const [ours, theirs] = (await Promise.all(runs)) as [Run, Run];
    t.equal(theirs.flows.length === 0, isEmpty ?? false, 'there is something to compare');
    t.same(unexplained(compareFlows(theirs.flows, ours.flows, times), line), []);
    if (!args.some((arg) => arg.includes(SECOND_COLLECTOR))) return;
    const both = [theirs, ours].map(({ flows, second }) => [...flows, ...second]);
    t.same(unexplained(compareFlows(both[0] ?? [], both[1] ?? [], times), line), [], 'at both');
  });
}
