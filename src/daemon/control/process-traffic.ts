// Who sends and receives how much: the flows of the cache added up by process.
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import { FlowRecord, type FlowSide } from '../../flow/flow-record.js';
import type { FlowRecordBatch } from '../../flow/flow-source.js';
import type { ProcessDirectory } from '../../flow/process-directory.js';

export interface ProcessTraffic {
  readonly pid: number;
  /** As the kernel has it, unsanitised. */
  readonly name: string;
  readonly user: string;
  /** Flows in which the process stands at either side. */
  readonly flows: number;
  readonly octetsSent: number;
  readonly octetsReceived: number;
}

/** @returns those with most octets, the largest first */
export async function largestProcesses(
  batches: AsyncIterable<FlowRecordBatch>,
  count: number,
  directory: ProcessDirectory,
): Promise<ProcessTraffic[]> {
  const processes = new Map<string, TrafficCount>();
  const view = new FlowRecord();
  for await (const batch of batches) {
    for (let i = 0; i < batch.count; i++) {
      const record = view.at(batch.bytes, i * FLOW_RECORD.size);
      for (const side of ['source', 'destination'] as const) {
        if (record.hasProcess(side)) countOf(processes, record, side, directory).add(record, side);
      }
    }
  }
  return [...processes.values()].sort((a, b) => b.octets - a.octets).slice(0, count);
}

class TrafficCount implements ProcessTraffic {
  readonly pid: number;
  readonly name: string;
  readonly user: string;
  flows = 0;
  octetsSent = 0;
  octetsReceived = 0;

  constructor(pid: number, name: string, user: string) {
    this.pid = pid;
    this.name = name;
    this.user = user;
  }

  get octets(): number {
    return this.octetsSent + this.octetsReceived;
  }

  add(record: FlowRecord, side: FlowSide): void {
    this.flows++;
    if (side === 'source') this.octetsSent += record.octets;
    else this.octetsReceived += record.octets;
  }
}

/** A process is its pid and its start; after an exec it goes by the name of that flow. */
function countOf(
  processes: Map<string, TrafficCount>,
  record: FlowRecord,
  side: FlowSide,
  directory: ProcessDirectory,
): TrafficCount {
  const pid = record.pid(side);
  const key = `${pid} ${record.processStart(side)} ${record.comm(side)}`;
  let found = processes.get(key);
  if (found === undefined) {
    const user = directory.userName(record.uid(side));
    found = new TrafficCount(pid, record.comm(side), user);
    processes.set(key, found);
  }
  return found;
}
