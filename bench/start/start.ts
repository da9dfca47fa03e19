// From exec to the first packet metered, against an empty node process: a sender numbers its packets, and
// the first number in a flow record tells when metering began. Alone: start.js [--short]
import { join } from 'node:path';
import { createNamespacePair, bringUp, setOnBoth } from '../../test/support/network-namespace.js';
import type { NamespacePair } from '../../test/support/network-namespace.js';
import { startIn } from '../../test/support/generators.js';
import { NODE, startExport } from '../../test/support/procflow.js';
import { startProgram, type Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import { startCollector } from '../attribution/ipfix-collector.js';
import type { BenchSection } from '../bench-section.js';
import { withCleanup } from '../support/cleanup.js';
import { median, medianAndSpread } from '../support/figures.js';
import { isMain, printSection } from '../support/section-text.js';
import { introduceNobody, NOBODY } from '../support/nobody.js';
import type { StartSteps } from './start-steps.js';

const RUNS = { short: 1, full: 7 } as const;
const GOAL_MS = 700;
const MS_NS = 1e6;
/** Packets a second: so fine is the answer. There are numbers for 13 seconds. */
const RATE = 5000;
const SHOWN_PROGRAMS = 4;
const NUMBERED_SENDER = join(PROJECT_ROOT, 'build/bench/generators/numbered-sender');

const nowNs = (): number => Number(process.hrtime.bigint());

/** All in milliseconds since exec. */
interface Start {
  readonly emptyMs: number;
  readonly firstPacketMs: number;
  readonly saidMs: number;
}

export async function measureStart(t: Teardown, length: 'short' | 'full'): Promise<BenchSection> {
  const pair = createNamespacePair(t);
  bringUp(pair);
  setOnBoth(pair, 'net.ipv6.conf.veth0.disable_ipv6=1');
  introduceNobody(pair.a);
  const cgroup = createCgroup(t);
  const starts: Start[] = [];
  const steps: StartSteps[] = [];
  while (starts.length < RUNS[length]) {
    const emptyMs = await withCleanup(startEmpty);
    starts.push({ emptyMs, ...(await withCleanup((own) => startMetering(own, pair, cgroup))) });
    steps.push(await withCleanup((own) => takeSteps(own, pair, cgroup)));
  }
  return describe(starts, steps);
}

async function startEmpty(t: Teardown): Promise<number> {
  const [command, ...before] = NODE;
  const script = join(PROJECT_ROOT, 'build/bench/start/empty-process.js');
  const execNs = nowNs();
  const program = startProgram(t, command, [...before, script]);
  await program.line('out', /^running$/);
  return (nowNs() - execNs) / MS_NS;
}

async function startMetering(
  t: Teardown,
  { a }: NamespacePair,
  cgroup: string,
): Promise<Omit<Start, 'emptyMs'>> {
  const collector = await startCollector(t);
  const rate = ['--rate', String(RATE)];
  const sender = startIn(
    t,
    { namespace: a, cgroup },
    NUMBERED_SENDER,
    '--to',
    NOBODY.ipv4,
    ...rate,
  );
  await sender.report('sending');
  const execNs = nowNs();
  const exporter = await startExport(t, {
    ...{ namespace: a, interfaces: [a.interfaceName], cgroup },
    ...{ version: 10, port: collector.port },
  });
  const saidMs = (nowNs() - execNs) / MS_NS;
  const { records } = await exporter.stop();
  const flows = await collector.flows(records);
  if (flows.length === 0) throw new Error('no packet was metered: the sender has no more numbers');
  const first = Math.min(...flows.map(({ destinationPort }) => destinationPort));
  sender.write(`${first}\n`);
  const { sent_ns: sentNs } = await sender.report('sent');
  return { saidMs, firstPacketMs: (Number(sentNs) - execNs) / MS_NS };
}

async function takeSteps(t: Teardown, { a }: NamespacePair, cgroup: string): Promise<StartSteps> {
  const [command, ...before] = NODE;
  const script = join(PROJECT_ROOT, 'build/bench/start/start-steps.js');
  const args = [...before, script, a.name, a.interfaceName, cgroup];
  const program = startProgram(t, command, args);
  return JSON.parse(await program.line('out', /^\{/)) as StartSteps;
}

function describe(starts: readonly Start[], steps: readonly StartSteps[]): BenchSection {
  const row = (name: string, values: readonly number[]): readonly string[] => [
    name,
    medianAndSpread(values, 0),
  ];
  const step = (key: Exclude<keyof StartSteps, 'verified'>): number[] =>
    steps.map((each) => each[key]);
  const first = starts.map(({ firstPacketMs }) => firstPacketMs);
  return {
    title: 'Start',
    notes: [
      `From exec to the first packet metered, by the numbers of packets that a sender sends ${RATE} times a ` +
        'second; an empty node process, from exec to its first line, in turn with it.',
      'The steps are taken one after the other by a process of their own.',
      `Instructions that the verifier walks: ${mostVerified(steps)}.`,
    ],
    header: ['', 'ms'],
    rows: [
      row(
        'empty node process',
        starts.map(({ emptyMs }) => emptyMs),
      ),
      row('procflow, first packet metered', first),
      row(
        'procflow, says that it meters',
        starts.map(({ saidMs }) => saidMs),
      ),
      row('step: node', step('nodeMs')),
      row('step: modules', step('modulesMs')),
      row('step: programs loaded', step('loadMs')),
      row('step: programs loaded and attached', step('openMs')),
    ],
    goals: [
      {
        text: `from exec to the first packet metered at most ${GOAL_MS} ms`,
        measured: `${median(first).toFixed(0)} ms`,
        isMet: median(first) <= GOAL_MS,
      },
    ],
    inexact: [],
  };
}

/** "flow_ingress 96157, flow_egress 96157" */
function mostVerified(steps: readonly StartSteps[]): string {
  return Object.entries(steps[0]?.verified ?? {})
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN_PROGRAMS)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

if (isMain(import.meta.url)) await printSection(measureStart);
