// A load of another version's programs, or of programs with other settings, that was replaced: its flows leave
// through its own sweep programs, which are pinned beside its maps.
import { closeSync, existsSync, read } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import type { BatchMemory } from '../../flow/batch-memory.js';
import type { FlowRecordBatch } from '../../flow/flow-source.js';
import { readBtf } from '../btf.js';
import { handed } from '../flow-cache.js';
import type { Libbpf } from '../native/libbpf.js';
import { lastErrno } from '../native/memory.js';
import { counterNames, readLoadCounters, type CounterValues } from './kept-counters.js';
import { readPinnedBytes } from './load-description.js';
import { kernelError, openPin, withPin } from './pins.js';
import { recordTranslator, type RecordTranslator } from './translate-records.js';

/** Pins of a load, by their paths in its directory. */
export const LOAD_FILES = {
  description: 'description',
  types: 'types',
  formerCounters: 'former_counters',
  maps: 'maps',
  programs: 'programs',
  filters: 'filters',
} as const;

export const SWEEP_PROGRAMS = ['sweep_flows_v4', 'sweep_flows_v6'] as const;

const BPF_TRACE_ITER = 28; // enum bpf_attach_type
const READ_OCTETS = 32 * 1024;
const RING_RECORDS = 1024;
const BPF_ANY = 0;
const KEY = Buffer.alloc(4);
/** A flow on which a writer is at work is passed over: it is there at the next pass. */
const MAX_PASSES = 8;
const PAUSE_MS = 10;

const readAsync = promisify(read);

export class FormerLoad {
  readonly number: number;
  readonly path: string;
  readonly counterNames: readonly string[];
  readonly #libbpf: Libbpf;
  readonly #btf: Buffer;
  readonly #translator: RecordTranslator;

  /** @throws BpfError */
  constructor(libbpf: Libbpf, path: string, number: number) {
    this.#libbpf = libbpf;
    this.path = path;
    this.number = number;
    this.#btf = readPinnedBytes(libbpf, join(path, LOAD_FILES.types));
    this.#translator = recordTranslator(this.#btf);
    this.counterNames = counterNames(this.#btf);
  }

  /** @throws BpfError */
  counters(): CounterValues {
    return readLoadCounters(this.#libbpf, this.#map('meter_counters'), this.counterNames);
  }

  flowCount(): number {
    const counters = this.counters();
    return Number((counters.get('FLOWS_CREATED') ?? 0n) - (counters.get('FLOWS_DELETED') ?? 0n));
  }

  /**
   * All its flows, as forced to end; nothing is metered there any more.
   * @param memory where they stand until all sinks have them
   */
  async *sweep(memory: BatchMemory | undefined): AsyncIterable<FlowRecordBatch> {
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      let records = 0;
      for (const program of SWEEP_PROGRAMS) {
        for await (const batch of this.#walk(program, memory)) {
          records += batch.count;
          yield batch;
        }
      }
      if (records > 0) continue;
      if (this.flowCount() === 0) break;
      await sleep(PAUSE_MS);
    }
    for (const records of this.#emptyRing()) yield* this.#translated(records, memory);
  }

  #map(name: string): string {
    return join(this.path, LOAD_FILES.maps, name);
  }

  async *#walk(
    program: (typeof SWEEP_PROGRAMS)[number],
    memory: BatchMemory | undefined,
  ): AsyncIterable<FlowRecordBatch> {
    const { recordOctets, isSame } = this.#translator;
    this.#writeSettings();
    const fd = this.#openIterator(program);
    try {
      // Whole records, as many as the kernel fills at a time: see cache-iterator.ts.
      const atOnce = READ_OCTETS - (READ_OCTETS % recordOctets);
      const direct = isSame ? memory : undefined;
      const buffer = direct?.bytes.subarray(0, atOnce) ?? Buffer.allocUnsafeSlow(atOnce);
      for (;;) {
        direct?.begin();
        const octets = await readOrRetry(fd, buffer);
        if (octets === 0) return;
        if (direct !== undefined) yield* handed(direct, octets);
        else yield* this.#translated(buffer.subarray(0, octets), memory);
      }
    } finally {
      closeSync(fd);
    }
  }

  *#translated(records: Buffer, memory: BatchMemory | undefined): Iterable<FlowRecordBatch> {
    const bytes = this.#translator.translate(records);
    if (memory === undefined) {
      yield { bytes, count: bytes.length / FLOW_RECORD.size };
      return;
    }
    memory.begin();
    bytes.copy(memory.bytes);
    yield* handed(memory, bytes.length);
  }

  #openIterator(program: string): number {
    const libbpf = this.#libbpf;
    const programPath = join(this.path, LOAD_FILES.programs, program);
    const linkFd = withPin(libbpf, programPath, (programFd) =>
      withPin(libbpf, this.#map(program.replace('sweep_', '')), (mapFd) =>
        libbpf.createIteratorLink(programFd, mapFd, BPF_TRACE_ITER),
      ),
    );
    if (linkFd < 0) throw kernelError(-linkFd, `attach the pinned ${program}`);
    try {
      const fd = libbpf.createIterator(linkFd);
      if (fd < 0) throw kernelError(-fd, 'sweep the flows of a former load');
      return fd;
    } finally {
      closeSync(linkFd);
    }
  }

  /** "All", in the words of that version. */
  #writeSettings(): void {
    const { structs, enums } = readBtf(this.#btf);
    const layout = structs.get('expiry_settings');
    const scope = layout?.fields.scope;
    const all = enums.get('sweep_scope')?.SWEEP_ALL;
    if (layout === undefined || scope === undefined || all === undefined) return;
    const bytes = Buffer.alloc(layout.size);
    bytes.writeUIntLE(all, scope.offset, scope.size);
    withPin(this.#libbpf, this.#map('expiry_settings'), (fd) => {
      const result = this.#libbpf.update(fd, KEY, bytes, BPF_ANY);
      if (result < 0) throw kernelError(-result, 'write the expiry settings of a former load');
    });
  }

  /** Single-packet records that nobody has read. */
  *#emptyRing(): Iterable<Buffer> {
    const path = this.#map('flow_overflow');
    if (!existsSync(path)) return;
    const { recordOctets } = this.#translator;
    const buffer = Buffer.alloc(RING_RECORDS * recordOctets);
    const fd = openPin(this.#libbpf, path);
    try {
      const ring = this.#libbpf.openRingBuffer(fd, buffer, recordOctets);
      if (ring === undefined) throw kernelError(lastErrno(), 'map a former overflow ring buffer');
      try {
        for (let octets = ring.take(); octets > 0; octets = ring.take()) {
          yield buffer.subarray(0, octets);
        }
      } finally {
        ring.close();
      }
    } finally {
      closeSync(fd);
    }
  }
}

async function readOrRetry(fd: number, buffer: Buffer): Promise<number> {
  for (;;) {
    try {
      return (await readAsync(fd, buffer, 0, buffer.length, null)).bytesRead;
    } catch (error) {
      // No end: see cache-iterator.ts.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
