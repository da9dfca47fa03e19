// The flows that procflow makes of a capture file, to be compared with those that tshark tells of.
import { flowKey, type ExpectedFlow } from './tshark-frames.js';
import { runProcflow } from './procflow.js';
import type { Teardown } from './program.js';

/** So long that no flow of a capture ends before the capture does. */
export const NOTHING_EXPIRES = [
  ...['--idle-timeout', '365d'],
  ...['-t', 'maxlife=0', '-t', 'tcp.fin=0', '-t', 'tcp.rst=0'],
] as const;

export interface JsonFlow {
  readonly sourceAddress: string;
  readonly destinationAddress: string;
  readonly protocolIdentifier: number;
  readonly sourceTransportPort: number;
  readonly destinationTransportPort: number;
  readonly icmpTypeCode: number;
  readonly icmpIdentifier: number;
  readonly packetDeltaCount: number;
  readonly octetDeltaCount: number;
  readonly flowStartMilliseconds: number;
  readonly flowEndMilliseconds: number;
  readonly flowEndReason: string;
}

export interface Replayed {
  readonly flows: readonly JsonFlow[];
  readonly err: string;
  readonly code: number | null;
}

export async function replayAsJson(t: Teardown, args: readonly string[]): Promise<Replayed> {
  const { out, err, end } = await runProcflow(t, ['live', '--json', ...args]);
  const lines = out.split('\n').filter((line) => line !== '');
  return { flows: lines.map((line) => JSON.parse(line) as JsonFlow), err, code: end.code };
}

/** As tsharkFlowsOf() has them: what is told in parts, put together. */
export function flowsByKey(flows: readonly JsonFlow[]): Map<string, ExpectedFlow> {
  const byKey = new Map<string, ExpectedFlow>();
  for (const flow of flows) {
    const isIcmp = flow.protocolIdentifier === 1 || flow.protocolIdentifier === 58;
    const key = flowKey({
      source: flow.sourceAddress,
      destination: flow.destinationAddress,
      protocol: flow.protocolIdentifier,
      sourcePort: isIcmp ? flow.icmpIdentifier : flow.sourceTransportPort,
      destinationPort: isIcmp ? flow.icmpTypeCode : flow.destinationTransportPort,
    });
    const before = byKey.get(key);
    const { flowStartMilliseconds: startMs, flowEndMilliseconds: endMs } = flow;
    byKey.set(key, {
      packets: flow.packetDeltaCount + (before?.packets ?? 0),
      octets: flow.octetDeltaCount + (before?.octets ?? 0),
      startMs: Math.min(startMs, before?.startMs ?? startMs),
      endMs: Math.max(endMs, before?.endMs ?? endMs),
    });
  }
  return byKey;
}

/** To compare: in the order of their keys. */
export function sorted(flows: ReadonlyMap<string, ExpectedFlow>): Record<string, ExpectedFlow> {
  return Object.fromEntries([...flows].sort(([a], [b]) => (a < b ? -1 : 1)));
}
