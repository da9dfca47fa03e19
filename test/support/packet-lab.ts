// Runs packets through the real programs with BPF_PROG_TEST_RUN and reads the flows back through
// the real iterators. Nothing is attached anywhere.
import koffi from 'koffi';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import type { FlowRecordBatch, MeterCounters, SweepScope } from '../../src/flow/flow-source.js';
import { BpfObject, type LoadOptions } from '../../src/bpf-loader/bpf-object.js';
import {
  openFlowCache,
  type FlowCache,
  type FlowCacheOptions,
} from '../../src/bpf-loader/flow-cache.js';
import type { FlowTimeouts } from '../../src/flow/flow-timeouts.js';
import { NEVER } from './timeouts.js';
import { prepareTestRun, testRunArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';

/** Offsets in struct __sk_buff of include/uapi/linux/bpf.h. */
const SKB = { size: 192, ifindex: 40, wireLength: 160, gsoSegs: 164, gsoSize: 176 } as const;
/** In struct bpf_test_run_opts of libbpf's bpf.h. */
const RETURNED_AT = 56;

export type PacketProgram =
  | 'flow_ingress'
  | 'flow_egress'
  | 'flow_ingress_ip'
  | 'flow_egress_ip'
  | 'socket_ingress'
  | 'socket_egress';

export interface PacketRun {
  readonly program?: PacketProgram;
  readonly bytes: Buffer;
  readonly gsoSegs?: number;
  readonly gsoSize?: number;
  /** Octets of all segments with their headers, as the kernel has counted them on egress. */
  readonly wireLength?: number;
  /** In the caller's network namespace; default: loopback. */
  readonly interfaceIndex?: number;
  readonly repeat?: number;
}

/** Runs the first octets of a buffer. @returns what the program returned */
export type PreparedRun = (octets: number, packet?: Omit<PacketRun, 'program' | 'bytes'>) => number;

export interface PacketLab {
  /** @returns what the program returned: TC_ACT_UNSPEC, or 1 at a socket */
  readonly run: (packet: PacketRun) => number;
  /** For many packets, one after the other in the same buffer. */
  readonly prepare: (program: PacketProgram, bytes: Buffer) => PreparedRun;
  /** Copies of the expired records. */
  readonly sweep: (scope: SweepScope) => Promise<FlowRecord[]>;
  /** Copies of records of all flows, which stay. */
  readonly flows: () => Promise<FlowRecord[]>;
  /** For those who do not want copies. */
  readonly cache: FlowCache;
  readonly counters: () => MeterCounters;
  /** How many elements a hash map has. */
  readonly elements: (map: string) => number;
  /** As the kernel does when the daemon is gone. */
  readonly closeLongWay: () => void;
  readonly close: () => void;
}

export function openPacketLab(
  maxFlows = 1024,
  timeouts: Partial<FlowTimeouts> = {},
  load: Partial<LoadOptions> = {},
  cacheOptions: Omit<FlowCacheOptions, 'timeouts'> = {},
): PacketLab {
  const maxEntries = { flows_v4: maxFlows, flows_v6: maxFlows, ...load.maxEntries };
  const object = BpfObject.load({ hooks: false, ...load, maxEntries });
  const cache = openFlowCache(object, { timeouts: { ...NEVER, ...timeouts }, ...cacheOptions });
  return {
    run: (packet) => {
      const context = Buffer.alloc(SKB.size);
      writeContext(context, packet);
      const argument = testRunArgument({
        packet: packet.bytes,
        context,
        repeat: packet.repeat ?? 1,
      });
      const usual = load.capture === 'sockets' ? 'socket_ingress' : 'flow_ingress';
      const fd = object.programFd(packet.program ?? usual);
      const result = object.libbpf.testRun(fd, argument);
      if (result < 0) throw object.error(-result, 'run a packet');
      return argument.retval;
    },
    prepare: (program, bytes) => prepareRuns(object, program, bytes),
    sweep: (scope) => copyRecords(cache.sweep(scope)),
    flows: () => copyRecords(cache.flows()),
    cache,
    counters: cache.counters,
    elements: (map) => countElements(object, map),
    closeLongWay: () => {
      deleteElement(object.mapFd('long_way'), Buffer.alloc(4));
    },
    close: () => {
      cache.close();
      object.close();
    },
  };
}

const deleteElement: (fd: number, key: Buffer) => number = koffi
  .load('libbpf.so.1')
  .func('int bpf_map_delete_elem(int fd, void *key)');

function writeContext(context: Buffer, packet: Omit<PacketRun, 'bytes'>): void {
  context.writeUInt32LE(packet.interfaceIndex ?? 0, SKB.ifindex);
  context.writeUInt32LE(packet.wireLength ?? 0, SKB.wireLength);
  context.writeUInt32LE(packet.gsoSegs ?? 0, SKB.gsoSegs);
  context.writeUInt32LE(packet.gsoSize ?? 0, SKB.gsoSize);
}

function prepareRuns(object: BpfObject, program: PacketProgram, bytes: Buffer): PreparedRun {
  const context = Buffer.alloc(SKB.size);
  const prepared = prepareTestRun(bytes, context);
  const fd = object.programFd(program);
  return (octets, packet = {}) => {
    writeContext(context, packet);
    prepared.set(octets, packet.repeat ?? 1);
    const result = object.libbpf.testRunPrepared(fd, prepared.options);
    if (result < 0) throw object.error(-result, `run a packet of ${octets} octets`);
    return prepared.options.readUInt32LE(RETURNED_AT);
  };
}

function countElements(object: BpfObject, name: string): number {
  const { libbpf } = object;
  const pointer = object.map(name);
  const next = Buffer.alloc(libbpf.keyOctets(pointer));
  const fd = libbpf.mapFd(pointer);
  let elements = 0;
  for (
    let key: Buffer | null = null;
    libbpf.nextKey(fd, key, next) === 0;
    key = Buffer.from(next)
  ) {
    elements++;
  }
  return elements;
}

async function copyRecords(batches: AsyncIterable<FlowRecordBatch>): Promise<FlowRecord[]> {
  const records: FlowRecord[] = [];
  for await (const { bytes, count } of batches) {
    const copy = Buffer.from(bytes);
    for (let i = 0; i < count; i++) {
      records.push(new FlowRecord().at(copy, i * FLOW_RECORD.size));
    }
  }
  return records;
}

/** For tap's `skip`: false, or why no program can be loaded. */
export function cannotLoadPrograms(): string | false {
  return process.getuid?.() === 0 ? false : 'needs root: it loads BPF programs';
}
