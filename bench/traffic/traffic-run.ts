// One run: trafgen at full rate from one CPU over a wire, an exporter at the sender's end of it or
// none, nfcapd behind it; what the machine paid, and what arrived.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Place } from '../../test/support/generators.js';
import type { NamespacePair } from '../../test/support/network-namespace.js';
import type { Teardown } from '../../test/support/program.js';
import { createCgroup } from '../../test/support/test-cgroup.js';
import { withCleanup } from '../support/cleanup.js';
import { NOBODY } from '../support/nobody.js';
import { createQuietWire, sentOver } from '../support/quiet-wire.js';
import {
  cgroupCpuNs,
  machineCpuNs,
  othersCpuNs,
  processCpuNs,
  processesOf,
  softInterruptThreadsCpuNs,
} from '../support/resources.js';
import {
  addressText,
  DATAGRAM_HEADER_OCTETS,
  datagramText,
  startTrafgen,
  trafgenEnd,
} from '../support/trafgen.js';
import { startWireNfcapd, type Collected } from '../support/wire-nfcapd.js';
import { EXPORTERS, startEmptyHooks, type ExporterName, type MeteredTraffic } from './exporters.js';

const FRAME_OCTETS = 60;
const SEED = 42;
const FILE_HEADER_OCTETS = 24;
const PACKET_HEADER_OCTETS = 16;
const SOURCE_ADDRESS_OFFSET = 14 + 12;
const SOURCE_PORT_OFFSET = 14 + 20;
const FEW_FLOWS = 256;
/** Times 65,536 ports. */
const ADDRESSES = 18;
/** An exporter is done with what it was given when it uses less than this in an interval. */
const QUIET = { intervalMs: 250, cpuNs: 2e7, intervals: 80 } as const;

export interface Scenario {
  readonly name: string;
  readonly flows: 'few' | 'random';
  readonly packets: number;
  /** What the exporters are told of it; default: nothing. */
  readonly maxFlows?: number;
}

export interface TrafficRun {
  /** As the interface counts them; octets are those of IP. */
  readonly packets: number;
  readonly octets: number;
  readonly seconds: number;
  /** Until the exporter had nothing left to do, without what other processes used. */
  readonly machineCpuNs: number;
  /** Of the experiment's processes and of ksoftirqd, to the nanosecond: others do not disturb it. */
  readonly ownCpuNs: number;
  readonly othersCpuNs: number;
  /** To the same moment. */
  readonly measuredSeconds: number;
  readonly exporter?: ExporterRun;
}

export interface ExporterRun {
  readonly metered: MeteredTraffic;
  readonly collected: Collected;
  /** Of its processes, to the same moment. */
  readonly cpuNs: number;
}

export function runTraffic(
  scenario: Scenario,
  setting: ExporterName | 'nothing' | 'hooks',
): Promise<TrafficRun> {
  return withCleanup(async (t) => {
    const pair = createQuietWire(t);
    const place = { namespace: pair.a, cgroup: createCgroup(t) };
    const { interfaceName } = pair.a;
    if (setting === 'hooks') await startEmptyHooks(t, place, interfaceName);
    if (setting === 'nothing' || setting === 'hooks') return transfer(t, pair, place, scenario, []);

    const nfcapd = await startWireNfcapd(t, place);
    const exporter = await EXPORTERS[setting]({
      t,
      place,
      interfaceName,
      maxFlows: scenario.maxFlows,
    });
    const before = cpuOf(exporter.pids);
    const run = await transfer(t, pair, place, scenario, exporter.pids);
    const cpuNs = cpuOf(exporter.pids) - before;
    const metered = await exporter.stop();
    return { ...run, exporter: { metered, collected: await nfcapd.stop(), cpuNs } };
  });
}

async function transfer(
  t: Teardown,
  pair: NamespacePair,
  place: Required<Place>,
  scenario: Scenario,
  pids: readonly number[],
): Promise<TrafficRun> {
  const wireBefore = sentOver(pair, FRAME_OCTETS);
  const usedBefore = usedCpu(place.cgroup);
  const start = performance.now();
  const { interfaceName } = pair.a;
  const options = { interfaceName, packets: scenario.packets, cpus: 1, seed: SEED };
  await trafgenEnd(startTrafgen(t, place, options, packetText(pair, scenario)));
  const seconds = (performance.now() - start) / 1000;
  await quiet(pids);
  const used = usedCpu(place.cgroup);
  const measuredSeconds = (performance.now() - start) / 1000;
  const wire = sentOver(pair, FRAME_OCTETS);
  const others = used.othersNs - usedBefore.othersNs;
  return {
    packets: wire.packets - wireBefore.packets,
    octets: wire.octets - wireBefore.octets,
    seconds,
    machineCpuNs: used.machineNs - usedBefore.machineNs - others,
    ownCpuNs: used.ownNs - usedBefore.ownNs,
    othersCpuNs: others,
    measuredSeconds,
  };
}

interface UsedCpu {
  readonly machineNs: number;
  readonly othersNs: number;
  readonly ownNs: number;
}

function usedCpu(cgroup: string): UsedCpu {
  return {
    machineNs: machineCpuNs(),
    othersNs: othersCpuNs(new Set(processesOf(cgroup))),
    ownNs: cgroupCpuNs(cgroup) + softInterruptThreadsCpuNs(),
  };
}

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + processCpuNs(pid), 0);
}

/** Waits until the exporter has nothing left to do; one that never rests is measured as it is. */
async function quiet(pids: readonly number[]): Promise<void> {
  let before = cpuOf(pids);
  for (let i = 0; i < QUIET.intervals; i++) {
    await delay(QUIET.intervalMs);
    const now = cpuOf(pids);
    if (now - before < QUIET.cpuNs) return;
    before = now;
  }
}

/** What the scenario's packets are, counted in a file that trafgen writes with the same seed. */
export function countFlows(scenario: Scenario): Promise<number> {
  return withCleanup(async (t) => {
    const pair = createQuietWire(t);
    const directory = mkdtempSync(join(tmpdir(), 'procflow-trafgen-'));
    t.teardown(() => {
      rmSync(directory, { recursive: true });
    });
    const path = join(directory, 'packets.pcap');
    const options = { interfaceName: path, packets: scenario.packets, cpus: 1, seed: SEED };
    const packet = packetText(pair, scenario);
    await trafgenEnd(startTrafgen(t, { namespace: pair.a }, options, packet));
    const [file, flows] = [readFileSync(path), new Set<number>()];
    for (let at = FILE_HEADER_OCTETS; at < file.length; at += PACKET_HEADER_OCTETS + FRAME_OCTETS) {
      const frame = at + PACKET_HEADER_OCTETS;
      const port = file.readUInt16BE(frame + SOURCE_PORT_OFFSET);
      flows.add(file.readUInt32BE(frame + SOURCE_ADDRESS_OFFSET) * 65536 + port);
    }
    return flows.size;
  });
}

function packetText({ a }: NamespacePair, { flows }: Scenario): string {
  const few = { source: addressText(a.ipv4), sourcePort: `39, dinc(0,${FEW_FLOWS - 1},1)` };
  const random = { source: `10,99,1,dinc(1,${ADDRESSES},1)`, sourcePort: 'drnd(2)' };
  return datagramText({
    ...(flows === 'few' ? few : random),
    destinationMac: NOBODY.mac,
    destination: addressText(NOBODY.ipv4),
    destinationPort: 7,
    payloadOctets: FRAME_OCTETS - DATAGRAM_HEADER_OCTETS,
  });
}
