// Compares what procflow exported with what the generators and the wire say.
import { SKIP_REASONS } from './case.js';
import type { Case, Count, Family, FlowEnd, Truth } from './case.js';
import type { Capture, ExportedFlow, NamedProcess } from './meters.js';
import { isMeteredAtSockets, pairAtSockets, type PairAtSockets } from './metered-at-sockets.js';
import { caseNumberOf, type StageResult } from './stage.js';
import { addCount } from './wire-counters.js';

/** A case as it was run for one family. */
export interface Performance {
  readonly number: number;
  readonly case: Case;
  readonly family: Family;
  readonly truths: readonly Truth[];
  /** Why there are no truths. */
  readonly failure?: string;
}

/** A line of the table. */
export interface Row {
  readonly name: string;
  readonly family: Family | '';
  readonly verdict: 'PASS' | 'FAIL' | 'SKIP';
  /** Why it did not pass. */
  readonly reasons: readonly string[];
}

/** Packets by what was said of them, over all ends of all records of one meter. */
export interface Totals {
  readonly meter: string;
  attributed: number;
  /** To the kernel, or forwarded, and rightly so. */
  withoutProcess: number;
  wrong: number;
  unknown: number;
}

export interface Judgement {
  readonly rows: readonly Row[];
  readonly totals: readonly Totals[];
}

interface NamedEnd extends FlowEnd {
  readonly process: NamedProcess;
}

/** Ticks of proc_pid_stat(5) are 10 ms; and two readings of two clocks may be some ms apart. */
const START_TOLERANCE_MS = 15;
/** Also in nfdump's words. */
const NOBODY = ['', '-', '<empty>', '(kernel)', '(forwarded)', '(unknown)'];
const IGMP = 2;
const ICMPV6 = 58;
/** Multicast listener reports and neighbour discovery. */
const CHATTER_TYPES = [130, 131, 132, 133, 134, 135, 136, 137, 143];

function endsOf(flow: ExportedFlow): readonly NamedEnd[] {
  const { source, destination, sourcePort, destinationPort, sourceProcess } = flow;
  const ends: NamedEnd[] = [];
  if (sourceProcess !== null) {
    const peer = { peerAddress: destination, peerPort: destinationPort };
    const own = { address: source, port: sourcePort, isSender: true, process: sourceProcess };
    ends.push({ ...flow, ...own, ...peer });
  }
  if (flow.destinationProcess !== null) {
    const peer = { peerAddress: source, peerPort: sourcePort };
    const own = { address: destination, port: destinationPort, isSender: false };
    ends.push({ ...flow, ...own, ...peer, process: flow.destinationProcess });
  }
  return ends;
}

function describe({ protocol, address, port, peerAddress, peerPort, ...end }: NamedEnd): string {
  const { name, pid, method, startMs, uid } = end.process;
  const way = end.isSender ? '->' : '<-';
  const icmp = end.icmpType === undefined ? '' : ` type ${end.icmpType} id ${end.icmpId ?? '?'}`;
  const who = `"${name}" ${pid ?? ''} ${startMs ?? ''} uid ${uid ?? '?'} ${method ?? ''}`.trim();
  return `${protocol} ${address}:${port} ${way} ${peerAddress}:${peerPort}${icmp} is ${who}`;
}

function namesNobody({ name, pid }: NamedProcess): boolean {
  return NOBODY.includes(name) && (pid ?? 0) === 0;
}

type Finding = 'attributed' | 'withoutProcess' | 'wrong' | 'unknown';

/** Whether the process is the right one, regardless of how it was found. */
function findingOf({ who }: Truth, process: NamedProcess): Finding {
  if (typeof who === 'string') return namesNobody(process) ? 'withoutProcess' : 'wrong';
  if (namesNobody(process)) return 'unknown';
  const { name, pid = who.pid, startMs = who.start_ms, uid = who.uid } = process;
  const isSame =
    name === who.comm &&
    pid === who.pid &&
    (who.uid ?? uid) === uid &&
    Math.abs(startMs - who.start_ms) <= START_TOLERANCE_MS;
  return isSame ? 'attributed' : 'wrong';
}

function expected({ who }: Truth): string {
  if (typeof who === 'string') return who;
  return `"${who.comm}" ${who.pid} ${who.start_ms} uid ${who.uid ?? '?'}`;
}

/** What is wrong with an end that this truth owns. */
function faultOf(truth: Truth, end: NamedEnd): string | undefined {
  const { who, methods = [typeof who === 'string' ? who : 'socket'] } = truth;
  const { method } = end.process;
  const finding = findingOf(truth, end.process);
  const isRight = finding === 'attributed' || finding === 'withoutProcess';
  if (!isRight) return `${describe(end)}, not ${expected(truth)}`;
  // Formats that do not tell the method have its word in the place of a name.
  if (typeof who === 'string' && method === undefined && end.process.name !== `(${who})`) {
    return `${describe(end)}, not by ${who}`;
  }
  if (method !== undefined && !methods.some((expectedMethod) => expectedMethod === method)) {
    return `${describe(end)}, not by ${methods.join(' or ')}`;
  }
  return undefined;
}

function countFaults(truth: Truth, ends: readonly NamedEnd[]): readonly string[] {
  const faults: string[] = [];
  for (const [way, count, isSender] of [
    ['sent', truth.sent, true],
    ['received', truth.received, false],
  ] as const) {
    const sum = sumOf(ends.filter((end) => end.isSender === isSender));
    if (count !== undefined && !isSameCount(sum, count)) {
      faults.push(`${expected(truth)} ${way} ${text(count)}, exported are ${text(sum)}`);
    }
  }
  return faults;
}

function sumOf(counts: readonly Count[]): Count {
  const sum = { packets: 0, octets: 0 };
  for (const { packets, octets } of counts) {
    sum.packets += packets;
    sum.octets += octets;
  }
  return sum;
}

function isSameCount(a: Count, b: Count): boolean {
  return a.packets === b.packets && a.octets === b.octets;
}

function text({ packets, octets }: Count): string {
  return `${packets} packets, ${octets} octets`;
}

function isChatter({ protocol, icmpType }: FlowEnd): boolean {
  return protocol === IGMP || (protocol === ICMPV6 && CHATTER_TYPES.includes(icmpType ?? 0));
}

const CHATTER: Truth = { who: 'kernel', owns: isChatter };

/** Packets and octets of every pair of addresses, on the wire and in the records. */
function wireFaults(
  flows: readonly ExportedFlow[],
  { wire, socketless }: Pick<StageResult, 'wire' | 'socketless'>,
  capture: Capture,
): readonly string[] {
  const exported = new Map<string, Count>();
  for (const flow of flows) addCount(exported, `${flow.source} ${flow.destination}`, flow);
  const faults: string[] = [];
  for (const pair of new Set([...wire.keys(), ...exported.keys()])) {
    const metered = exported.get(pair) ?? { packets: 0, octets: 0 };
    const counts = pairAtSockets(pair, { wire, metered, socketless });
    const isRight =
      capture === 'sockets'
        ? isMeteredAtSockets(counts)
        : isSameCount(counts.onWire, counts.metered);
    if (!isRight) faults.push(`${pair}: ${pairText(counts)}`);
  }
  return faults;
}

function pairText({ onWire, metered, socketless, answered }: PairAtSockets): string {
  const fault = `${text(onWire)} on the wire, exported are ${text(metered)}`;
  if (socketless.packets + answered.packets === 0) return fault;
  return `${fault}; without a socket up to ${text(socketless)}, the other way ${text(answered)}`;
}

function isCounted({ atSockets }: Case, capture: Capture): boolean {
  return capture === 'interface' || atSockets === undefined;
}

/** Each end belongs to exactly one truth, and says so. */
function endFaults(
  truths: readonly Truth[],
  flows: readonly ExportedFlow[],
  totals: Totals,
): readonly string[] {
  const faults: string[] = [];
  const owned = new Map<Truth, NamedEnd[]>(truths.map((truth) => [truth, []]));
  for (const end of flows.flatMap(endsOf)) {
    const owners = truths.filter(({ owns }) => owns(end));
    if (owners.length === 0 && isChatter(end)) owners.push(CHATTER);
    const [truth] = owners;
    if (truth === undefined || owners.length > 1) {
      faults.push(`${describe(end)}, which ${owners.length} truths of the case claim`);
      totals[namesNobody(end.process) ? 'unknown' : 'wrong'] += end.packets;
      continue;
    }
    owned.get(truth)?.push(end);
    totals[findingOf(truth, end.process)] += end.packets;
    const fault = faultOf(truth, end);
    if (fault !== undefined) faults.push(fault);
  }
  for (const [truth, ends] of owned) {
    if (ends.length === 0 && truth.isOptional !== true) faults.push(`${expected(truth)}: no flow`);
    faults.push(...countFaults(truth, ends));
  }
  return faults;
}

function groupBy<Value, Key>(
  values: Iterable<Value>,
  keyOf: (value: Value) => Key,
): ReadonlyMap<Key, readonly Value[]> {
  const groups = new Map<Key, Value[]>();
  for (const value of values) {
    const group = groups.get(keyOf(value));
    if (group === undefined) groups.set(keyOf(value), [value]);
    else group.push(value);
  }
  return groups;
}

/** Case and family of a pair of addresses; "none" where no case has either. */
function keyOf(source: string, destination: string): string {
  const number = caseNumberOf(source) ?? caseNumberOf(destination);
  return number === undefined ? 'none' : `${number} ${source.includes(':') ? 'ipv6' : 'ipv4'}`;
}

/** Why a case is not run, if it is not. */
export function skipReason(theCase: Case, capture: Capture): string | undefined {
  const lacks = theCase.missing?.();
  if (lacks !== undefined) return SKIP_REASONS[lacks];
  const isSeen = capture === 'interface' || theCase.atSockets !== 'not seen';
  return isSeen ? undefined : 'at sockets such packets are not seen';
}

export function judge(
  performances: readonly Performance[],
  result: StageResult,
  capture: Capture,
): Judgement {
  const totals: Totals[] = [];
  const faults = new Map<string, string[]>([['none', []]]);
  for (const { number, family, failure } of performances) {
    faults.set(`${number} ${family}`, failure === undefined ? [] : [failure]);
  }
  const wire = groupBy(result.wire, ([pair]) => keyOf(...(pair.split(' ') as [string, string])));
  const { socketless } = result;
  for (const { meter, flows } of result.exports) {
    const sums = { meter, attributed: 0, withoutProcess: 0, wrong: 0, unknown: 0 };
    totals.push(sums);
    const groups = groupBy(flows, ({ source, destination }) => keyOf(source, destination));
    for (const [key, found] of faults) {
      const own = groups.get(key) ?? [];
      const performance = performances.find((p) => `${p.number} ${p.family}` === key);
      const more = [...endFaults(performance?.truths ?? [], own, sums)];
      if (performance !== undefined && isCounted(performance.case, capture))
        more.push(...wireFaults(own, { wire: new Map(wire.get(key)), socketless }, capture));
      found.push(...more.map((fault) => `${meter}: ${fault}`));
    }
  }
  const rows = performances.map((performance): Row => {
    const { number, family, case: theCase } = performance;
    const { name } = theCase;
    const skipped = skipReason(theCase, capture);
    if (skipped !== undefined) return { name, family, verdict: 'SKIP', reasons: [skipped] };
    const found = faults.get(`${number} ${family}`) ?? [];
    return { name, family, verdict: found.length === 0 ? 'PASS' : 'FAIL', reasons: found };
  });
  return { rows: [...rows, chatterRow(faults.get('none') ?? [])], totals };
}

function chatterRow(reasons: readonly string[]): Row {
  const name = 'packets of no case are multicast reports and neighbour discovery of the kernel';
  return { name, family: '', verdict: reasons.length === 0 ? 'PASS' : 'FAIL', reasons };
}
