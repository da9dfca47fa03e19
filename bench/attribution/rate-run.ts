// One run of the rate experiment: traffic over a wire, with procflow at one end of it or without.
import { join } from 'node:path';
import { startIn, type Place } from '../../test/support/generators.js';
import {
  interfaceCounters,
  type NamespacePair,
  type Side,
} from '../../test/support/network-namespace.js';
import { startExport } from '../../test/support/procflow.js';
import type { Program, Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import { withCleanup } from '../support/cleanup.js';
import { NOBODY } from '../support/nobody.js';
import { createQuietWire } from '../support/quiet-wire.js';
import {
  addressText,
  DATAGRAM_HEADER_OCTETS,
  datagramText,
  startTrafgen,
  trafgenEnd,
} from '../support/trafgen.js';
import { startCollector, type CollectedFlow } from './ipfix-collector.js';
import {
  cgroupCpuNs,
  childrenOf,
  machineCpuNs,
  mapOctets,
  processCpuNs,
  residentMemory,
  type Resident,
} from '../support/resources.js';

const PORT = 7;
const FLOWS = 256;
const UDP_SENDER = join(PROJECT_ROOT, 'build/bench/generators/udp-sender');
const UDP_SERVER = join(PROJECT_ROOT, 'build/test/generators/udp-server');
const ENDLESS = 1_000_000_000;
const SECOND_NS = 1e9;

export interface Scenario {
  readonly name: string;
  readonly sender: 'trafgen' | 'sockets';
  /** Which end procflow is at: the sender's process is to be found, or the receiver's. */
  readonly metered: 'sender' | 'receiver';
  /** Of the whole Ethernet frame, without its checksum. */
  readonly frameOctets: number;
  /** Packets a second; 0: as many as the machine gives. */
  readonly rate: number;
  readonly cpus: number;
  /** trafgen only: each packet from any of 65,536 ports, so that nearly each is a flow. */
  readonly hasRandomPorts?: boolean;
}

export interface Attribution {
  /** Packets in records that name the right process. */
  readonly right: number;
  /** Packets in records that name another one. */
  readonly wrong: number;
  readonly resident: Resident;
  readonly mapOctets: number;
  readonly daemonCpuNs: number;
}

export interface RateRun {
  /** As the metered interface counts them itself. */
  readonly packets: number;
  readonly seconds: number;
  readonly machineCpuNs: number;
  /** Of the senders and receivers, in whose context packets are metered. */
  readonly trafficCpuNs: number;
  readonly attribution?: Attribution;
}

interface Stage {
  readonly t: Teardown;
  readonly pair: NamespacePair;
  readonly cgroup: string;
}

export function runRate(scenario: Scenario, packets: number, isMetered: boolean): Promise<RateRun> {
  return withCleanup(async (t) => {
    const stage = { t, pair: createQuietWire(t), cgroup: createCgroup(t) };
    const receiver = scenario.metered === 'receiver' ? await startReceiver(stage) : undefined;
    if (!isMetered) return (await transfer(stage, scenario, packets)).run;

    const collector = await startCollector(t);
    const exporter = await startExport(t, {
      namespace: stage.pair.a,
      interfaces: [stage.pair.a.interfaceName],
      version: 10,
      port: collector.port,
      cgroup: stage.cgroup,
    });
    const { pid } = exporter.program;
    const cpuBefore = processCpuNs(pid);
    const { run, senders } = await transfer(stage, scenario, packets);
    const resources = {
      daemonCpuNs: processCpuNs(pid) - cpuBefore,
      resident: residentMemory(pid),
      mapOctets: mapOctets(pid),
    };
    const summary = await exporter.stop();
    const flows = await collector.flows(summary.records);
    const truth = receiver === undefined ? senders : [receiver.pid];
    return { ...run, attribution: { ...judge(flows, scenario, truth), ...resources } };
  });
}

/** The metered host is always a. */
function ends(
  { a, b }: NamespacePair,
  { metered }: Scenario,
): { readonly from: Side; readonly to: Pick<Side, 'ipv4' | 'mac'> } {
  return metered === 'sender' ? { from: a, to: NOBODY } : { from: b, to: a };
}

async function startReceiver({ t, pair, cgroup }: Stage): Promise<Program> {
  const options = ['--address', '0.0.0.0', '--port', String(PORT), '--count', String(ENDLESS)];
  const receiver = startIn(t, { namespace: pair.a, cgroup }, UDP_SERVER, ...options);
  await receiver.report('ready');
  return receiver;
}

async function transfer(
  stage: Stage,
  scenario: Scenario,
  packets: number,
): Promise<{ readonly run: RateRun; readonly senders: readonly number[] }> {
  const { from } = ends(stage.pair, scenario);
  const place = { namespace: from, cgroup: stage.cgroup };
  const before = {
    wire: wirePackets(stage.pair.a, scenario),
    machineNs: machineCpuNs(),
    trafficNs: cgroupCpuNs(stage.cgroup),
  };
  const own = process.cpuUsage();
  const start = process.hrtime.bigint();
  const senders = await (scenario.sender === 'trafgen'
    ? sendFrames(stage, place, scenario, packets)
    : runSockets(stage, place, scenario, packets));
  const seconds = Number(process.hrtime.bigint() - start) / SECOND_NS;
  const ownUsage = process.cpuUsage(own);
  const run = {
    packets: wirePackets(stage.pair.a, scenario) - before.wire,
    seconds,
    trafficCpuNs: cgroupCpuNs(stage.cgroup) - before.trafficNs,
    machineCpuNs: machineCpuNs() - before.machineNs - (ownUsage.user + ownUsage.system) * 1000,
  };
  return { run, senders };
}

/** Also what the interface dropped on its way out: TC, where packets are metered, is before that. */
function wirePackets(side: Side, { metered }: Scenario): number {
  const { receivedPackets, sentPackets, droppedPackets } = interfaceCounters(side);
  return metered === 'receiver' ? receivedPackets : sentPackets + droppedPackets;
}

/** The process ids of the senders. */
async function sendFrames(
  { t, pair }: Stage,
  place: Place,
  scenario: Scenario,
  packets: number,
): Promise<readonly number[]> {
  const { from, to } = ends(pair, scenario);
  const { interfaceName } = from;
  const { cpus, rate } = scenario;
  const packet = datagramText({
    destinationMac: to.mac,
    source: addressText(from.ipv4),
    sourcePort: scenario.hasRandomPorts === true ? 'drnd(2)' : `39, dinc(0,${FLOWS - 1},1)`,
    destination: addressText(to.ipv4),
    destinationPort: PORT,
    payloadOctets: scenario.frameOctets - DATAGRAM_HEADER_OCTETS,
  });
  const trafgen = startTrafgen(t, place, { interfaceName, packets, cpus, rate }, packet);
  await trafgen.line('out', /Running!/);
  const senders = childrenOf(trafgen.pid);
  await trafgenEnd(trafgen);
  return [trafgen.pid, ...senders];
}

async function runSockets(
  { t, pair }: Stage,
  place: Place,
  scenario: Scenario,
  packets: number,
): Promise<readonly number[]> {
  const each = (total: number): string => String(Math.ceil(total / scenario.cpus));
  const programs = Array.from({ length: scenario.cpus }, () =>
    startIn(
      t,
      place,
      UDP_SENDER,
      ...['--to', ends(pair, scenario).to.ipv4, '--port', String(PORT)],
      ...['--size', String(scenario.frameOctets - DATAGRAM_HEADER_OCTETS)],
      ...['--sockets', each(FLOWS), '--count', each(packets), '--rate', each(scenario.rate)],
    ),
  );
  await Promise.all(programs.map((program) => program.success()));
  return programs.map(({ pid }) => pid);
}

function judge(
  flows: readonly CollectedFlow[],
  scenario: Scenario,
  truth: readonly number[],
): { readonly right: number; readonly wrong: number } {
  const names = { trafgen: 'trafgen', sockets: 'udp-sender' };
  const name = scenario.metered === 'receiver' ? 'udp-server' : names[scenario.sender];
  let [right, wrong] = [0, 0];
  for (const flow of flows) {
    if (flow.destinationPort !== PORT) continue;
    const process = scenario.metered === 'sender' ? flow.source : flow.destination;
    if (process.name === name && truth.includes(process.pid)) right += flow.packets;
    else if (process.pid !== 0) wrong += flow.packets;
  }
  return { right, wrong };
}
