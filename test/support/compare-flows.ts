// Whether two exporters report the same flows of the same packets, and where not, in what.
import type { ReportedFlow } from './softflowd.js';

/** What two sets of flows may differ in. */
export type Aspect = 'flow' | 'packets' | 'octets' | 'flags' | 'times';

export interface FlowDifference {
  readonly aspect: Aspect;
  readonly key: string;
  readonly theirs: string;
  readonly ours: string;
}

/** How softflowd tells times in a format: see docs/softflowd.md. */
export type Times =
  /** To the millisecond. */
  | 'exact'
  /** Of v1 and v5: now and then a millisecond off, as they are differences of cut times. */
  | 'near'
  /** Of v9: all of a message later or earlier by less than a second. */
  | 'shifted'
  | 'none';

interface Sum {
  readonly packets: number;
  readonly octets: number;
  readonly flags: string;
}

/** @param theirs of softflowd, which tells the times of a connection in both of its directions */
export function compareFlows(
  theirs: readonly ReportedFlow[],
  ours: readonly ReportedFlow[],
  times: Times,
): FlowDifference[] {
  const [their, our] = [theirs.flatMap(directions), ours.flatMap(directions)];
  const byConnection = [grouped(their, 'connection'), grouped(our, 'connection')] as const;
  return [
    ...compareCounters(grouped(their, 'key'), grouped(our, 'key')),
    ...(times === 'none' ? [] : compareTimes(...byConnection, times)),
  ];
}

/** A biflow as the two flows that it is; nfdump has the flags of one. */
function directions(flow: ReportedFlow): ReportedFlow[] {
  const { key, reversePackets, reverseOctets } = flow;
  if (reversePackets === 0) return flow.packets === 0 ? [] : [flow];
  const [, protocol = '', source = '', destination = ''] = /^(\S+) (\S+) > (\S+)$/.exec(key) ?? [];
  const none = { reversePackets: 0, reverseOctets: 0, flags: '' };
  return [
    ...(flow.packets === 0 ? [] : [{ ...flow, ...none }]),
    {
      ...flow,
      ...none,
      key: `${protocol} ${destination} > ${source}`,
      packets: reversePackets,
      octets: reverseOctets,
    },
  ];
}

type Groups = ReadonlyMap<string, readonly ReportedFlow[]>;

function grouped(flows: readonly ReportedFlow[], by: 'key' | 'connection'): Groups {
  const groups = new Map<string, ReportedFlow[]>();
  for (const flow of flows) {
    const group = groups.get(flow[by]);
    if (group === undefined) groups.set(flow[by], [flow]);
    else group.push(flow);
  }
  return groups;
}

function compareCounters(theirs: Groups, ours: Groups): FlowDifference[] {
  const differences: FlowDifference[] = [];
  for (const key of new Set([...theirs.keys(), ...ours.keys()])) {
    const [their, our] = [sum(theirs.get(key)), sum(ours.get(key))];
    if (their === undefined || our === undefined) {
      differences.push({ aspect: 'flow', key, theirs: text(their), ours: text(our) });
      continue;
    }
    for (const aspect of ['packets', 'octets', 'flags'] as const) {
      const [a, b] = [String(their[aspect]), String(our[aspect])];
      const isKnown = a !== '' && b !== '';
      if (isKnown && a !== b) differences.push({ aspect, key, theirs: a, ours: b });
    }
  }
  return differences;
}

function sum(flows: readonly ReportedFlow[] | undefined): Sum | undefined {
  if (flows === undefined) return undefined;
  const total = (name: 'packets' | 'octets'): number =>
    flows.reduce((all, flow) => all + flow[name], 0);
  return { packets: total('packets'), octets: total('octets'), flags: joinedFlags(flows) };
}

/** "...A..S." and "....P.S." are "...AP.S." */
function joinedFlags(flows: readonly ReportedFlow[]): string {
  const [first = ''] = flows.map(({ flags }) => flags);
  const at = (i: number): string =>
    flows.map(({ flags }) => flags[i] ?? '.').find((flag) => flag !== '.') ?? '.';
  return Array.from(first, (_, i) => at(i)).join('');
}

function text(found: Sum | undefined): string {
  return found === undefined ? 'none' : `${found.packets} packets, ${found.octets} octets`;
}

/**
 * Of a connection as a whole: the first time of both directions and the last. A direction of ours
 * has its own.
 */
function compareTimes(theirs: Groups, ours: Groups, times: Times): FlowDifference[] {
  const differences: FlowDifference[] = [];
  for (const [key, flows] of theirs) {
    const [their, our] = [span(flows), span(ours.get(key) ?? [])];
    if (our === undefined || their === undefined) continue;
    if (!isSame(our[0] - their[0], our[1] - their[1], times)) {
      differences.push({ aspect: 'times', key, theirs: their.join('-'), ours: our.join('-') });
    }
  }
  return differences;
}

/** @param first how much later ours begins, in milliseconds; @param last how much later it ends */
function isSame(first: number, last: number, times: Times): boolean {
  if (times === 'exact') return first === 0 && last === 0;
  if (times === 'shifted') return Math.abs(first - last) <= 1 && Math.abs(first) < 1000;
  return [first, last].every((difference) => Math.abs(difference) <= 1);
}

function span(flows: readonly ReportedFlow[]): readonly [number, number] | undefined {
  if (flows.length === 0) return undefined;
  return [
    Math.min(...flows.map(({ firstMs }) => firstMs)),
    Math.max(...flows.map(({ lastMs }) => lastMs)),
  ];
}
