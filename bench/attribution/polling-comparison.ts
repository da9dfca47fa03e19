// The same traffic watched by procflow and by polling the table of sockets once a second.
import { startProcflow } from '../../test/support/procflow.js';
import {
  bringUp,
  createNamespacePair,
  turnOffloadOff,
} from '../../test/support/network-namespace.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import { withCleanup } from '../support/cleanup.js';
import { percentage, table, type Figures } from '../support/figures.js';
import { runMixedWorkload, type Doing } from './mixed-workload.js';
import { pollSockets, type PolledProcess } from './socket-polling.js';
import { captureFlows, keyOf, type FiveTuple, type WireFlow } from './wire-flows.js';

interface Amount {
  flows: number;
  packets: number;
  octets: number;
}

interface Comparison {
  readonly name: string;
  readonly wire: Amount;
  readonly polling: { readonly right: Amount; readonly wrong: Amount };
  readonly procflow: { readonly right: Amount; readonly wrong: Amount };
}

/** A record of `procflow live --json`. */
interface JsonFlow {
  readonly protocolIdentifier: number;
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly sourceTransportPort: number;
  readonly destinationTransportPort: number;
  readonly packetDeltaCount: number;
  readonly octetDeltaCount: number;
  readonly sourceProcess: { readonly processId?: number } | null;
  readonly destinationProcess: { readonly processId?: number } | null;
}

const ICMP = 1;

export async function comparePolling(): Promise<Figures> {
  return withCleanup(async (t) => {
    const cgroup = createCgroup(t);
    const pair = createNamespacePair(t);
    turnOffloadOff(pair);
    bringUp(pair);
    const where = ['-i', pair.a.interfaceName, '--netns', pair.a.name, '--cgroup', cgroup];
    const procflow = startProcflow(t, ['live', '--json', ...where]);
    await procflow.line('err', /^procflow: metering/);
    const endCapture = await captureFlows(t, pair);
    const endPolling = await pollSockets(t, pair.a);

    const here = { namespace: pair.a, cgroup };
    const doings = await runMixedWorkload({ t, pair, here, there: { namespace: pair.b } });
    const polled = await endPolling();
    const wire = await endCapture();
    await procflow.stop();
    const records = procflow.out.map((line) => JSON.parse(line) as JsonFlow);
    const comparisons = doings.map((doing) =>
      compare(doing, [...wire.values()], polled, records, pair.a.ipv4),
    );
    const total = sumUp(comparisons);
    return {
      text: comparisonTable([...comparisons, total]),
      isGood:
        total.procflow.right.packets === total.wire.packets && total.procflow.wrong.packets === 0,
    };
  });
}

function compare(
  doing: Doing,
  wire: readonly WireFlow[],
  polled: PolledProcess,
  records: readonly JsonFlow[],
  localAddress: string,
): Comparison {
  const { name, isOf, isRight } = doing;
  const flows = wire.filter(isOf);
  const polling = { right: nothing(), wrong: nothing() };
  for (const flow of flows) {
    const pid = polled(flow, flow.source === localAddress);
    if (pid !== undefined) addFlow(isRight(flow, pid) ? polling.right : polling.wrong, flow);
  }
  return {
    name,
    wire: total(flows),
    polling,
    procflow: judgeRecords(doing, records, localAddress),
  };
}

/** A flow that became several records is one flow, and right only if all of them are. */
function judgeRecords(
  { isOf, isRight }: Doing,
  records: readonly JsonFlow[],
  localAddress: string,
): Comparison['procflow'] {
  const [right, wrong] = [nothing(), nothing()];
  const flows = new Map<string, boolean>();
  for (const record of records) {
    const tuple = tupleOf(record);
    if (!isOf(tuple)) continue;
    const isSent = tuple.source === localAddress;
    const pid = (isSent ? record.sourceProcess : record.destinationProcess)?.processId;
    const isGood = pid !== undefined && isRight(tuple, pid);
    flows.set(keyOf(tuple), isGood && (flows.get(keyOf(tuple)) ?? true));
    if (pid === undefined) continue;
    const amount = isGood ? right : wrong;
    amount.packets += record.packetDeltaCount;
    amount.octets += record.octetDeltaCount;
    if (!isGood) amount.flows++;
  }
  right.flows = [...flows.values()].filter(Boolean).length;
  return { right, wrong };
}

function tupleOf(record: JsonFlow): FiveTuple {
  const isIcmp = record.protocolIdentifier === ICMP;
  return {
    protocol: record.protocolIdentifier,
    source: record.sourceAddress,
    sourcePort: isIcmp ? 0 : record.sourceTransportPort,
    destination: record.destinationAddress,
    destinationPort: isIcmp ? 0 : record.destinationTransportPort,
  };
}

function nothing(): Amount {
  return { flows: 0, packets: 0, octets: 0 };
}

function addFlow(sum: Amount, { packets, octets }: WireFlow): void {
  add(sum, { flows: 1, packets, octets });
}

function add(sum: Amount, more: Amount): void {
  sum.flows += more.flows;
  sum.packets += more.packets;
  sum.octets += more.octets;
}

function total(flows: readonly WireFlow[]): Amount {
  const sum = nothing();
  for (const flow of flows) addFlow(sum, flow);
  return sum;
}

function sumUp(comparisons: readonly Comparison[]): Comparison {
  const sum = {
    name: 'all',
    wire: nothing(),
    polling: { right: nothing(), wrong: nothing() },
    procflow: { right: nothing(), wrong: nothing() },
  };
  for (const { wire, polling, procflow } of comparisons) {
    add(sum.wire, wire);
    for (const verdict of ['right', 'wrong'] as const) {
      add(sum.polling[verdict], polling[verdict]);
      add(sum.procflow[verdict], procflow[verdict]);
    }
  }
  return sum;
}

function comparisonTable(comparisons: readonly Comparison[]): string {
  const shares = (part: Amount, whole: Amount): string[] => [
    percentage(part.flows, whole.flows),
    percentage(part.packets, whole.packets),
    percentage(part.octets, whole.octets),
  ];
  return table(
    [
      '',
      'flows',
      'polling: flows',
      'packets',
      'octets',
      'wrong flows',
      'procflow: flows',
      'packets',
      'octets',
      'wrong flows',
    ],
    comparisons.map(({ name, wire, polling, procflow }) => [
      name,
      String(wire.flows),
      ...shares(polling.right, wire),
      String(polling.wrong.flows),
      ...shares(procflow.right, wire),
      String(procflow.wrong.flows),
    ]),
  );
}
