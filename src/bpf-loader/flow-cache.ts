// The kernel's flow cache: takes out of it what has expired, or looks at what is in it; and the ring
// buffer with the packets that found no place in it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FLOW_RECORD, METER_COUNTER } from '../flow/flow-contract.gen.js';
import type {
  FlowRecordBatch,
  MeterCounter,
  MeterCounters,
  SweepScope,
} from '../flow/flow-source.js';
import type { BatchMemory } from '../flow/batch-memory.js';
import type { FlowTimeouts } from '../flow/flow-timeouts.js';
import { BpfError } from './bpf-error.js';
import type { BpfObject } from './bpf-object.js';
import { attachCacheIterators, type CacheIterators } from './cache-iterator.js';
import { expirySettingsBytes, type ExpirySettings } from './expiry-settings.js';
import { lastErrno } from './native/memory.js';
import { Turns } from './turns.js';

/** Records of the ring buffer that are taken in one turn of the event loop: a few milliseconds. */
const SLICE_OCTETS = 1024 * FLOW_RECORD.size;
const TIME_OCTETS = 8;
const BPF_ANY = 0;
const KEY_ZERO = Buffer.alloc(4);

export interface FlowCacheOptions {
  readonly timeouts: FlowTimeouts;
  /** More flows than this end early, those that are silent longest; default: as many as there is room for. */
  readonly maxFlows?: number;
  /** The time at which flows expire; default: the kernel's clock. */
  readonly nowNs?: () => bigint;
  /** Where flow records stand until all sinks have them; default: memory that goes with the process. */
  readonly memory?: BatchMemory | undefined;
}

export interface FlowCache {
  readonly sweep: (scope: SweepScope) => AsyncIterable<FlowRecordBatch>;
  /** A record of every flow, which stays in the cache; its end reason is 0. */
  readonly flows: () => AsyncIterable<FlowRecordBatch>;
  /** How many there are. */
  readonly flowCount: () => number;
  readonly counters: () => MeterCounters;
  readonly close: () => void;
}

/** @throws BpfError */
export function openFlowCache(object: BpfObject, options: FlowCacheOptions): FlowCache {
  const iterators = attachCacheIterators(object);
  const overflow = openOverflow(object, options.memory);
  const cache = new CachePasses(object, iterators, overflow, options);
  return {
    sweep: (scope) => cache.sweep(scope),
    flows: () => cache.flows(),
    flowCount: () => cache.flowCount(),
    counters: () => readCounters(object),
    close: () => {
      cache.close();
      overflow.close();
      iterators.close();
    },
  };
}

type PassSettings = Pick<ExpirySettings, 'scope' | 'earlyUntilNs'>;

class CachePasses {
  readonly #object: BpfObject;
  readonly #iterators: CacheIterators;
  readonly #overflow: Overflow;
  readonly #options: FlowCacheOptions;
  /** One sweep at a time. */
  readonly #sweeps = new Turns();
  /**
   * There is one place for the settings of a pass, and who looks at the flows must not wait for a sweep
   * that waits for a collector: so each read of a pass is a turn.
   */
  readonly #reads = new Turns();
  #isClosed = false;

  constructor(
    object: BpfObject,
    iterators: CacheIterators,
    overflow: Overflow,
    options: FlowCacheOptions,
  ) {
    this.#object = object;
    this.#iterators = iterators;
    this.#overflow = overflow;
    this.#options = options;
  }

  async *sweep(scope: SweepScope): AsyncIterable<FlowRecordBatch> {
    const done = await this.#sweeps.next();
    try {
      const { memory } = this.#options;
      if (memory !== undefined) yield* handed(memory, memory.leftOctets);
      const earlyUntilNs = scope === 'expired' ? await this.#earlyUntilNs() : undefined;
      yield* this.#records({ scope, earlyUntilNs }, memory);
      yield* this.#overflow.sweep(scope);
    } finally {
      done();
    }
  }

  flows(): AsyncIterable<FlowRecordBatch> {
    return this.#records({ scope: 'peek' });
  }

  /** Whoever is still looking at the flows gets an error at the next read. */
  close(): void {
    this.#isClosed = true;
  }

  flowCount(): number {
    const { FLOWS_CREATED, FLOWS_DELETED } = readCounters(this.#object);
    return FLOWS_CREATED - FLOWS_DELETED;
  }

  async *#records(settings: PassSettings, memory?: BatchMemory): AsyncIterable<FlowRecordBatch> {
    for await (const bytes of this.#pass(settings, FLOW_RECORD.size, memory)) {
      if (memory === undefined) yield { bytes, count: bytes.length / FLOW_RECORD.size };
      else yield* handed(memory, bytes.length);
    }
  }

  #pass(settings: PassSettings, itemOctets: number, memory?: BatchMemory): AsyncIterable<Buffer> {
    const bytes = this.#settingsBytes(settings);
    const inTurn = async (read: () => Promise<number>): Promise<number> => {
      const done = await this.#reads.next();
      try {
        if (this.#isClosed) throw new BpfError('ECANCELED', 'read the flow cache', 'it is closed');
        this.#write(bytes);
        memory?.begin();
        return await read();
      } finally {
        done();
      }
    };
    return this.#iterators.read(itemOctets, inTurn, memory?.bytes);
  }

  /** Since when a flow has been silent that ends so that the others have room. */
  async #earlyUntilNs(): Promise<bigint | undefined> {
    const { maxFlows = Infinity } = this.#options;
    const surplus = this.flowCount() - maxFlows;
    if (surplus <= 0) return undefined;
    let base: bigint | undefined;
    const times: number[] = [];
    for await (const bytes of this.#pass({ scope: 'last seen' }, TIME_OCTETS)) {
      for (let at = 0; at < bytes.length; at += TIME_OCTETS) {
        const lastNs = bytes.readBigUInt64LE(at);
        base ??= lastNs;
        times.push(Number(lastNs - base)); // exact up to 104 days
      }
    }
    const oldestFirst = Float64Array.from(times).sort();
    const until = oldestFirst[Math.min(surplus, oldestFirst.length) - 1];
    return base === undefined || until === undefined ? undefined : base + BigInt(until);
  }

  #settingsBytes(settings: PassSettings): Buffer {
    const { timeouts, nowNs } = this.#options;
    return expirySettingsBytes({ ...settings, timeouts, nowNs: nowNs?.() });
  }

  #write(bytes: Buffer): void {
    const map = this.#object.mapFd('expiry_settings');
    const result = this.#object.libbpf.update(map, KEY_ZERO, bytes, BPF_ANY);
    if (result < 0) throw this.#object.error(-result, 'write the expiry settings');
  }
}

/** The sinks have the records when they ask for the next ones, or for no more. */
export function* handed(memory: BatchMemory, octets: number): Iterable<FlowRecordBatch> {
  if (octets === 0) return;
  try {
    yield { bytes: memory.hand(octets), count: octets / FLOW_RECORD.size };
  } finally {
    memory.commit();
  }
}

interface Overflow {
  readonly sweep: (scope: SweepScope) => AsyncIterable<FlowRecordBatch>;
  readonly close: () => void;
}

/**
 * The ring buffer with single-packet records. It is mapped only while there is something in it: all of it
 * would count as memory of this process, twice, because libbpf maps it so.
 */
function openOverflow(object: BpfObject, memory: BatchMemory | undefined): Overflow {
  const map = object.map('flow_overflow');
  // One ring's worth a sweep: what is added meanwhile is the next one's, or no sweep would end.
  const slices = Math.ceil(object.libbpf.maxEntries(map) / SLICE_OCTETS);
  let seen = 0;
  let last = lastLeft(memory);
  let close = (): void => undefined;
  async function* sweep(scope: SweepScope): AsyncIterable<FlowRecordBatch> {
    const written = readCounters(object).SINGLE_PACKET_RECORDS;
    // What is counted may be a moment from being there: the last sweep always looks.
    if (written === seen && scope !== 'all') return;
    const buffer = memory?.bytes.subarray(0, SLICE_OCTETS) ?? Buffer.alloc(SLICE_OCTETS);
    const { libbpf } = object;
    const ring = libbpf.openRingBuffer(libbpf.mapFd(map), buffer, FLOW_RECORD.size, last);
    if (ring === undefined) throw object.error(lastErrno(), 'map the overflow ring buffer');
    let isOpen = true;
    close = (): void => {
      if (isOpen) ring.close();
      isOpen = false;
    };
    // It may be closed in the middle of a sweep: nobody waits for that one any more.
    const take = (): number => (isOpen ? ring.take() : 0);
    try {
      for (let slice = 0; slice < slices; slice++) {
        memory?.begin();
        const octets = take();
        if (octets < 0) throw object.error(-octets, 'read the overflow ring buffer');
        if (octets > 0) last = undefined;
        const bytes = buffer.subarray(0, octets);
        if (memory !== undefined) yield* handed(memory, octets);
        else if (octets > 0) yield { bytes, count: octets / FLOW_RECORD.size };
        if (octets < SLICE_OCTETS) {
          seen = written;
          return;
        }
        await nextTurn();
      }
    } finally {
      close();
    }
  }
  const overflow: Overflow = {
    sweep,
    close: () => {
      close();
    },
  };
  return overflow;
}

/**
 * A record of the ring buffer is copied first and then counted as taken: where a process was killed between, it
 * stands in both.
 */
function lastLeft(memory: BatchMemory | undefined): Buffer | undefined {
  const end = memory?.leftOctets ?? 0;
  if (memory === undefined || end === 0) return undefined;
  return Buffer.from(memory.bytes.subarray(end - FLOW_RECORD.size, end));
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
