// Reads expired flows out of the kernel's cache: one iterator for each of the two maps, then the
// ring buffer with the packets that found no place in them.
import { closeSync, read } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EXPIRY_SETTINGS, FLOW_RECORD, METER_COUNTER } from '../flow/flow-contract.gen.js';
import type {
  FlowRecordBatch,
  MeterCounter,
  MeterCounters,
  SweepScope,
} from '../flow/flow-source.js';
import { BpfError } from './bpf-error.js';
import type { BpfObject } from './bpf-object.js';
import type { LinkPointer } from './native/libbpf.js';
import { iteratorArgument } from './native/libbpf-arguments.js';
import { lastErrno } from './native/memory.js';

/** The kernel hands out at most 32 KiB per read(); whole records, because seq_write is all or nothing. */
const READ_OCTETS = 64 * 1024;
/** Records of the ring buffer that are taken in one turn of the event loop: a few milliseconds. */
const OVERFLOW_RECORDS = 1024;
const BPF_ANY = 0;
const KEY_ZERO = Buffer.alloc(4);
const ITERATORS = [
  { program: 'sweep_flows_v4', map: 'flows_v4' },
  { program: 'sweep_flows_v6', map: 'flows_v6' },
] as const;

const readAsync = promisify(read);

export interface ExpiryTimeouts {
  readonly activeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Quiet time after which a FIN or RST ends a flow. */
  readonly endedTimeoutMs: number;
}

interface FlowCache {
  readonly sweep: (scope: SweepScope) => AsyncIterable<FlowRecordBatch>;
  readonly counters: () => MeterCounters;
  readonly close: () => void;
}

/** @throws BpfError */
export function openFlowCache(object: BpfObject, timeouts: ExpiryTimeouts): FlowCache {
  const links: LinkPointer[] = [];
  const close = (): void => {
    for (let link = links.pop(); link !== undefined; link = links.pop()) {
      object.libbpf.destroyLink(link);
    }
  };
  try {
    for (const { program, map } of ITERATORS) links.push(attachIterator(object, program, map));
  } catch (error) {
    close();
    throw error;
  }
  const overflow = openOverflow(object);
  const buffer = Buffer.alloc(READ_OCTETS);

  async function* sweep(scope: SweepScope): AsyncIterable<FlowRecordBatch> {
    writeExpirySettings(object, timeouts, scope);
    for (const link of links) yield* readIterator(object, link, buffer);
    yield* overflow.sweep();
  }

  return {
    sweep,
    counters: () => readCounters(object),
    close: () => {
      overflow.close();
      close();
    },
  };
}

function attachIterator(object: BpfObject, program: string, map: string): LinkPointer {
  const linkInfo = Buffer.alloc(16); // union bpf_iter_link_info: { map_fd }
  linkInfo.writeUInt32LE(object.mapFd(map), 0);
  return object.link(
    object.libbpf.attachIterator(object.program(program), iteratorArgument(linkInfo)),
    `attach ${program}`,
  );
}

/** One pass. Reads in the thread pool: the walk is kernel time and must not stop the event loop. */
async function* readIterator(
  object: BpfObject,
  link: LinkPointer,
  buffer: Buffer,
): AsyncIterable<FlowRecordBatch> {
  const fd = object.libbpf.createIterator(object.libbpf.linkFd(link));
  if (fd < 0) throw object.error(-fd, 'sweep the flow cache');
  try {
    for (;;) {
      const bytesRead = await readOrRetry(fd, buffer);
      if (bytesRead === 0) return;
      if (bytesRead % FLOW_RECORD.size !== 0) {
        throw new BpfError(
          'EIO',
          'sweep the flow cache',
          `${bytesRead} octets are no whole records`,
        );
      }
      yield { bytes: buffer.subarray(0, bytesRead), count: bytesRead / FLOW_RECORD.size };
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * The kernel breaks a read() off with EAGAIN after a million elements that gave nothing; the next one
 * goes on from there (MAX_ITER_OBJECTS in kernel/bpf/bpf_iter.c).
 */
async function readOrRetry(fd: number, buffer: Buffer): Promise<number> {
  for (;;) {
    try {
      return (await readAsync(fd, buffer, 0, buffer.length, null)).bytesRead;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

function writeExpirySettings(object: BpfObject, timeouts: ExpiryTimeouts, scope: SweepScope): void {
  const F = EXPIRY_SETTINGS.fields;
  const settings = Buffer.alloc(EXPIRY_SETTINGS.size);
  const writeMs = (field: { readonly offset: number }, ms: number): void => {
    settings.writeBigUInt64LE(BigInt(Math.round(ms * 1e6)), field.offset);
  };
  writeMs(F.active_timeout_ns, timeouts.activeTimeoutMs);
  writeMs(F.idle_timeout_ns, timeouts.idleTimeoutMs);
  writeMs(F.ended_timeout_ns, timeouts.endedTimeoutMs);
  settings.writeUInt32LE(scope === 'all' ? 1 : 0, F.expire_all.offset);
  const result = object.libbpf.update(object.mapFd('expiry_settings'), KEY_ZERO, settings, BPF_ANY);
  if (result < 0) throw object.error(-result, 'write the expiry settings');
}

interface Overflow {
  readonly sweep: () => AsyncIterable<FlowRecordBatch>;
  readonly close: () => void;
}

/** The ring buffer with single-packet records. */
function openOverflow(object: BpfObject): Overflow {
  const buffer = Buffer.alloc(OVERFLOW_RECORDS * FLOW_RECORD.size);
  const ring = object.libbpf.openRingBuffer(
    object.mapFd('flow_overflow'),
    buffer,
    FLOW_RECORD.size,
  );
  if (ring === undefined) throw object.error(lastErrno(), 'map the overflow ring buffer');
  // One ring's worth a sweep: what is added meanwhile is the next one's, or no sweep would end.
  const slices = Math.ceil(object.libbpf.maxEntries(object.map('flow_overflow')) / buffer.length);
  async function* sweep(): AsyncIterable<FlowRecordBatch> {
    for (let slice = 0; slice < slices; slice++) {
      const octets = ring?.take() ?? 0;
      if (octets < 0) throw object.error(-octets, 'read the overflow ring buffer');
      const bytes = buffer.subarray(0, octets);
      if (octets > 0) yield { bytes, count: octets / FLOW_RECORD.size };
      if (octets < buffer.length) return;
      await nextTurn();
    }
  }
  return { sweep, close: ring.close };
}

const COUNTERS = (Object.keys(METER_COUNTER) as (keyof typeof METER_COUNTER)[]).filter(
  (name): name is MeterCounter => name !== 'METER_COUNTERS',
);

/** Sums the per-CPU slots. */
function readCounters(object: BpfObject): MeterCounters {
  const cpus = object.libbpf.possibleCpus();
  const stride = METER_COUNTER.METER_COUNTERS * 8;
  const values = Buffer.alloc(stride * cpus);
  const result = object.libbpf.lookup(object.mapFd('meter_counters'), KEY_ZERO, values);
  if (result < 0) throw object.error(-result, 'read the counters');
  const sum = (name: MeterCounter): number => {
    let total = 0n;
    for (let cpu = 0; cpu < cpus; cpu++) {
      total += values.readBigUInt64LE(cpu * stride + METER_COUNTER[name] * 8);
    }
    return Number(total);
  };
  return Object.fromEntries(COUNTERS.map((name) => [name, sum(name)])) as Record<
    MeterCounter,
    number
  >;
}
