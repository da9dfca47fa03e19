// What a metering session finds in its state directory and leaves there. Each load of the programs has a
// directory with its maps and sweep programs; loads that are laid out alike have the same maps
// (docs/adr/0019-state-across-restarts.md).
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchMemory } from '../../flow/batch-memory.js';
import type { FlowRecordBatch } from '../../flow/flow-source.js';
import { openLibbpf, type BpfObject, type KeptMaps, type MapKeeper } from '../bpf-object.js';
import type { Libbpf, ObjectPointer } from '../native/libbpf.js';
import { FormerLoad, LOAD_FILES, SWEEP_PROGRAMS } from './former-load.js';
import {
  pinFormerCounters,
  readFormerCounters,
  sumCounters,
  writeFormerCounters,
  type CounterValues,
} from './kept-counters.js';
import { PinnedLinks, type LinkKeeper } from './link-keeper.js';
import {
  describeLoad,
  isSameLoad,
  outlivesLoad,
  pinBytes,
  readDescription,
  withSeedOf,
  type LoadDescription,
} from './load-description.js';
import { readMapInfo } from './object-info.js';
import { namesIn, openPin, pin, removePins, withPin } from './pins.js';
import type { StateDirectory } from './state-directory.js';

/** A load that is not wholly there yet: no link leads to it. */
export const UNFINISHED = 'new';
export const LINKS = 'links';
/** Loads with the same one have all maps in common. */
const FLOW_MAP = 'flows_v4';

/** @throws BpfError */
export function openKeptState(state: StateDirectory): KeptState {
  return new KeptState(openLibbpf(), state);
}

export class KeptState implements MapKeeper {
  readonly #libbpf: Libbpf;
  readonly #root: string;
  readonly #links: PinnedLinks;
  readonly #number: number;
  readonly #formerNumbers: readonly number[];
  #description: LoadDescription | undefined;
  /** The load whose maps this one goes on with. */
  #shared: number | undefined;
  #toSweep: FormerLoad[] = [];
  #filters = 0;

  /** @throws BpfError */
  constructor(libbpf: Libbpf, { path }: StateDirectory) {
    this.#libbpf = libbpf;
    this.#root = path;
    removePins(join(path, UNFINISHED));
    this.#formerNumbers = loadNumbers(path);
    this.#number = (this.#formerNumbers.at(-1) ?? 0) + 1;
    const stays = this.#formerNumbers.length > 0;
    this.#links = new PinnedLinks(libbpf, join(path, LINKS), this.#number, stays);
  }

  get links(): LinkKeeper {
    return this.#links;
  }

  chooseMaps = (libbpf: Libbpf, object: ObjectPointer, wanted: Buffer): KeptMaps | undefined => {
    this.#shared = undefined;
    this.#description = describeLoad(libbpf, object, wanted);
    const last = this.#formerNumbers.at(-1);
    if (last === undefined) return undefined;
    const former = this.#readDescription(last);
    const settings = withSeedOf(wanted, former.settings);
    const description = describeLoad(libbpf, object, settings);
    if (!isSameLoad(description, former)) return undefined;
    this.#description = description;
    this.#shared = last;
    const maps = this.#at(last, LOAD_FILES.maps);
    const names = namesIn(maps).filter(outlivesLoad);
    return {
      settings,
      fds: new Map(names.map((name) => [name, openPin(libbpf, join(maps, name))])),
    };
  };

  /** Before anything is attached: whoever finds a link finds the load that it leads to. */
  begin(object: BpfObject): void {
    const root = join(this.#root, UNFINISHED);
    const libbpf = this.#libbpf;
    const at = (file: keyof typeof LOAD_FILES): string => join(root, LOAD_FILES[file]);
    mkdirSync(root);
    for (const directory of ['maps', 'programs', 'filters'] as const) mkdirSync(at(directory));
    for (const [name, fd] of object.mapFds()) {
      if (!name.includes('.')) pin(libbpf, fd, join(at('maps'), name));
    }
    for (const name of SWEEP_PROGRAMS)
      pin(libbpf, object.programFd(name), join(at('programs'), name));
    pinBytes(libbpf, object.btf(), 'types', at('types'));
    const description = Buffer.from(JSON.stringify(this.#description));
    pinBytes(libbpf, description, 'description', at('description'));
    if (this.#shared === undefined) pinFormerCounters(libbpf, at('formerCounters'));
    else {
      const former = this.#at(this.#shared, LOAD_FILES.formerCounters);
      withPin(libbpf, former, (fd) => {
        pin(libbpf, fd, at('formerCounters'));
      });
    }
    renameSync(root, this.#at(this.#number));
  }

  /** A map through which a filter calls the meter: it is emptied when its last descriptor and pin are gone. */
  keepFilterMap = (fd: number): void => {
    this.#filters++;
    pin(this.#libbpf, fd, join(this.#at(this.#number, LOAD_FILES.filters), String(this.#filters)));
  };

  /** Everything is attached: no program of a former load runs any more. */
  settle(): void {
    this.#links.settle();
    const known = new Set([this.#flowMapOf(this.#number)]);
    for (const number of [...this.#formerNumbers].reverse()) {
      const path = this.#at(number);
      const map = this.#flowMapOf(number);
      if (known.has(map)) removePins(path);
      else this.#toSweep.unshift(new FormerLoad(this.#libbpf, path, number));
      known.add(map);
    }
  }

  /** What loads have left that were replaced; each is forgotten when its flows were asked for. */
  async *sweepFormer(memory?: BatchMemory): AsyncIterable<FlowRecordBatch> {
    const loads = this.#toSweep;
    if (loads.length === 0) return;
    for (const load of loads) yield* load.sweep(memory);
    this.#carryCounters(loads);
    this.#toSweep = [];
    for (const { path } of loads) removePins(path);
  }

  /** Of loads that were replaced. */
  formerCounters(): CounterValues {
    const path = this.#at(this.#number, LOAD_FILES.formerCounters);
    const { values } = readFormerCounters(this.#libbpf, path);
    return this.#toSweep.length === 0
      ? values
      : sumCounters(values, this.#countersOf(this.#toSweep));
  }

  #carryCounters(loads: readonly FormerLoad[]): void {
    const through = loads.at(-1)?.number ?? 0;
    writeFormerCounters(this.#libbpf, this.#at(this.#number, LOAD_FILES.formerCounters), {
      through,
      values: this.#countersOf(loads),
    });
  }

  /** Several where a session was killed before it had swept: each tells up to which it counts the others. */
  #countersOf(loads: readonly FormerLoad[]): CounterValues {
    let sum: CounterValues = new Map();
    let through = Infinity;
    for (const load of [...loads].reverse()) {
      if (load.number <= through && through !== Infinity) break;
      const path = join(load.path, LOAD_FILES.formerCounters);
      const former = readFormerCounters(this.#libbpf, path, load.counterNames);
      sum = sumCounters(sum, sumCounters(load.counters(), former.values));
      if (former.through > 0) through = former.through;
    }
    return sum;
  }

  #at(number: number, ...names: readonly string[]): string {
    return join(this.#root, String(number), ...names);
  }

  #readDescription(number: number): LoadDescription {
    return readDescription(this.#libbpf, this.#at(number, LOAD_FILES.description));
  }

  #flowMapOf(number: number): number {
    const path = this.#at(number, LOAD_FILES.maps, FLOW_MAP);
    return withPin(this.#libbpf, path, (fd) => readMapInfo(this.#libbpf, fd).id);
  }

  /** What begins and fails leaves nothing, unless it has found something. */
  close(): void {
    this.#links.close();
    if (this.#links.stays()) return;
    removePins(join(this.#root, LINKS));
    removePins(join(this.#root, UNFINISHED));
    for (const number of loadNumbers(this.#root)) removePins(this.#at(number));
  }
}

/** Of the loads in a state directory, oldest first. */
export function loadNumbers(path: string): number[] {
  return namesIn(path)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}
