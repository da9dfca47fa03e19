// The usual stage of an end-to-end test: namespaces a and b joined by a wire, procflow on a's end
// of it, its messages to nfcapd, and a capture of those messages for tshark.
import { startExportCapture, type DecodedFlow, type ExportCapture } from './export-capture.js';
import type { Place } from './generators.js';
import {
  bringUp,
  createNamespacePair,
  interfaceCounters,
  takeDown,
  turnOffloadOff,
  type InterfaceCounters,
  type NamespacePair,
} from './network-namespace.js';
import { startNfcapd, type Nfcapd, type NfdumpFlow } from './nfcapd.js';
import { startExport, type RunningExport, type Summary } from './procflow.js';
import type { Teardown } from './program.js';
import { createCgroup } from './test-cgroup.js';

export interface SessionOptions {
  readonly version: 9 | 10;
  /** Default off: then each packet that the meter sees is one packet on the wire. */
  readonly offload?: boolean;
  /** Further options of `procflow export`. */
  readonly options?: readonly string[];
  /** Acts after the wire is up and before procflow starts. */
  readonly beforeStart?: (session: Stage) => Promise<void>;
}

export interface Stage {
  readonly pair: NamespacePair;
  readonly a: Place;
  readonly b: Place;
}

export interface MeteringSession extends Stage {
  readonly cgroup: string;
  readonly exporter: RunningExport;
  readonly collector: Nfcapd;
  readonly capture: ExportCapture;
  /** Takes the wire down, stops procflow, then the collectors. */
  finish(): Promise<SessionResult>;
}

export interface SessionResult {
  readonly summary: Summary;
  /** What a's interface counted between the first frame and the last. */
  readonly wire: InterfaceCounters;
  readonly nfdump: readonly NfdumpFlow[];
  /** Decoded when asked for: tshark takes its time over many records. */
  readonly decoded: readonly DecodedFlow[];
}

export interface FlowSum {
  readonly flows: number;
  readonly packets: number;
  readonly octets: number;
}

export async function startSession(t: Teardown, options: SessionOptions): Promise<MeteringSession> {
  const cgroup = createCgroup(t);
  const pair = createNamespacePair(t);
  const stage = { pair, a: { namespace: pair.a, cgroup }, b: { namespace: pair.b, cgroup } };
  if (options.offload !== true) turnOffloadOff(pair);
  if (options.beforeStart !== undefined) {
    bringUp(pair);
    await options.beforeStart(stage);
  }
  const collector = await startNfcapd(t);
  const capture = await startExportCapture(t, collector.port);
  const exporter = await startExport(t, {
    namespace: pair.a,
    interfaces: [pair.a.interfaceName],
    version: options.version,
    port: collector.port,
    cgroup,
    ...(options.options !== undefined && { options: options.options }),
  });
  if (options.beforeStart === undefined) bringUp(pair);

  return {
    ...stage,
    cgroup,
    exporter,
    collector,
    capture,
    async finish() {
      takeDown(pair);
      const wire = interfaceCounters(pair.a);
      const summary = await exporter.stop();
      await capture.stop();
      const nfdump = await collector.stop();
      return {
        summary,
        wire,
        nfdump,
        get decoded() {
          return capture.flows();
        },
      };
    },
  };
}

/** How many flows match, and what they add up to. */
export function sumFlows<Flow extends { readonly packets: number; readonly octets: number }>(
  flows: readonly Flow[],
  matches: (flow: Flow) => boolean = () => true,
): FlowSum {
  const sum = { flows: 0, packets: 0, octets: 0 };
  for (const flow of flows.filter(matches)) {
    sum.flows++;
    sum.packets += flow.packets;
    sum.octets += flow.octets;
  }
  return sum;
}
