// The kernel's flow cache as a FlowSource: loads the programs, attaches them, sweeps the cache.
import type { BatchMemory } from '../flow/batch-memory.js';
import type {
  FlowRecordBatch,
  FlowSource,
  MeterCounters,
  SweepScope,
} from '../flow/flow-source.js';
import type { FlowTimeouts } from '../flow/flow-timeouts.js';
import type { MeteredInterface } from '../flow/metering-status.js';
import type { ProcessEventSource } from '../flow/process-event-source.js';
import { NO_SAMPLING, type Sampling } from '../flow/sampling.js';
import type { TrackLevel } from '../flow/track-level.js';
import { BpfObject, type LoadOptions } from './bpf-object.js';
import type { Capability } from './capabilities.js';
import { FilterError, type FilterCompiler } from './filter/compile-filter.js';
import { openPacketFilter, type PacketFilter } from './filter/packet-filter.js';
import { openFlowCache, type FlowCache } from './flow-cache.js';
import { openInterfaceChanges } from './interface-changes.js';
import { captureAtInterfaces, type InterfaceCaptureOptions } from './interface-capture.js';
import { openInterfaceNames } from './interface-names.js';
import { loadLibc } from './native/libc.js';
import { openNetworkNamespace, type NetworkNamespace } from './network-namespace.js';
import type { Metered, PacketCapture } from './packet-capture.js';
import { openProcessEvents } from './process-events.js';
import {
  captureAtSockets,
  findWatchedCgroup,
  type SocketCaptureOptions,
} from './socket-capture.js';
import { attachSocketHooks } from './socket-hooks.js';
import { openKeptState, type KeptState } from './state/kept-state.js';
import { SOCKET_LINKS, UNPINNED_LINKS } from './state/link-keeper.js';
import type { StateDirectory } from './state/state-directory.js';

interface CacheOptions {
  readonly timeouts: FlowTimeouts;
  /** Of more flows those that are silent longest end early. */
  readonly maxFlows: number;
  /**
   * cgroup v2 directory whose sockets are seen at creation, and metered where the capture is at
   * sockets; default: the root.
   */
  readonly cgroup?: string;
  /** Which packets are metered; default: all. */
  readonly sampling?: Sampling;
  /** pcap-filter(7), checked: only packets that match are metered. */
  readonly filter?: FilterCompiler | undefined;
  /** What tells flows apart; default: full. At sockets neither ether nor vlan. */
  readonly trackLevel?: TrackLevel;
  /** The process on this host tells flows apart too; default: no. */
  readonly trackProcess?: boolean;
  /** No program can be loaded later: what may be needed is loaded at once. Default: no. */
  readonly losesCapabilities?: boolean;
  /** Told what an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
  /** Where what is metered outlives the process; default: nowhere. */
  readonly state?: StateDirectory | undefined;
  /** Where flow records stand until all sinks have them; default: memory that goes with the process. */
  readonly memory?: BatchMemory | undefined;
}

type KernelFlowSourceOptions = CacheOptions & (InterfaceCaptureOptions | SocketCaptureOptions);

export interface KernelFlowSource extends FlowSource {
  /** Tells of every process that begins from now on, and of those that there are. */
  readonly processes: ProcessEventSource;
  readonly metered: () => Metered;
  /** Capabilities without which it cannot go on, or not end well. */
  readonly neededLater: readonly Capability[];
  /**
   * Attaches to interfaces that appeared, forgets those that went. Cheap; call it often.
   * @returns whether there is more to do at once, after others had their turn
   */
  readonly rescanInterfaces: () => boolean;
  /** Attaches again after stop(). @throws BpfError when it cannot; then nothing is attached */
  readonly resume: () => void;
  /** A record of every flow, which stays in the cache; its end reason is 0. Waits for no sweep. */
  readonly flows: () => AsyncIterable<FlowRecordBatch>;
  /** How many flows there are. */
  readonly flowCount: () => number;
  /** Interfaces of the metered network namespace; at sockets, of the own one. */
  readonly interfaces: () => readonly MeteredInterface[];
}

const INTERFACE_PROGRAMS = [
  'flow_ingress',
  'flow_egress',
  'flow_ingress_ip',
  'flow_egress_ip',
] as const;
/** Of an interface without an address; only expressions with "broadcast" know the difference. */
const NO_NETMASK = 0;

/** Opens resources one after the other and closes them in reverse order. */
class Resources {
  readonly #closers: (() => void)[] = [];

  add<Resource extends { close(): void }>(resource: Resource): Resource {
    this.#closers.push(() => {
      resource.close();
    });
    return resource;
  }

  /** @throws the first error, after all of them were closed */
  close(): void {
    const errors: unknown[] = [];
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        closer();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** @throws BpfError, FilterError with a message for the user */
export function openKernelFlowSource(options: KernelFlowSourceOptions): KernelFlowSource {
  const resources = new Resources();
  try {
    return open(options, resources);
  } catch (error) {
    resources.close();
    throw error;
  }
}

function open(options: KernelFlowSourceOptions, resources: Resources): KernelFlowSource {
  const kept =
    options.state === undefined ? undefined : resources.add(openKeptState(options.state));
  const keeper = kept?.links ?? UNPINNED_LINKS;
  const [object, attach, namespace] =
    options.capture === 'sockets'
      ? loadForSockets(options, resources, kept)
      : loadForInterfaces(options, resources, kept);
  kept?.begin(object);
  const { timeouts, maxFlows, memory } = options;
  const cache = resources.add(openFlowCache(object, { timeouts, maxFlows, memory }));
  // Before any socket has an owner, so that no owner is one that nobody was told of.
  const processes = resources.add(openProcessEvents(object, keeper));
  resources.add(attachSocketHooks(object, options.cgroup, options.onNotice, keeper));
  const { filter } = options;
  const packetFilter =
    filter === undefined
      ? undefined
      : resources.add(openPacketFilter(object, filter, kept?.keepFilterMap));
  if (options.losesCapabilities === true && options.capture !== 'sockets') {
    loadForLater(object, packetFilter);
  }
  let capture = attach(packetFilter);
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
    capture.close();
  };
  resources.add({
    close: () => {
      if (!keeper.stays()) stop();
    },
  });
  kept?.settle();
  const netns = options.capture === 'sockets' ? undefined : options.netns;
  const names = resources.add(openInterfaceNames(netns, namespace));
  return {
    processes,
    metered: () => capture.metered(),
    neededLater: capture.neededLater,
    rescanInterfaces: () => !isStopped && capture.rescanInterfaces(),
    interfaces: names.interfaces,
    stop,
    resume: () => {
      if (!isStopped) return;
      capture = attach(packetFilter);
      isStopped = false;
    },
    sweep: kept === undefined ? cache.sweep : (scope) => sweepBoth(kept, cache, scope, memory),
    flows: cache.flows,
    flowCount: cache.flowCount,
    counters: kept === undefined ? cache.counters : () => countersOfBoth(kept, cache),
    isCrowded: () => cache.flowCount() > maxFlows,
    close: () => {
      resources.close();
    },
  };
}

/** The kernel's counters go on where those of a load that was replaced ended. */
function countersOfBoth(kept: KeptState, cache: FlowCache): MeterCounters {
  const former = kept.formerCounters();
  const own = Object.entries(cache.counters()) as [keyof MeterCounters, number][];
  return Object.fromEntries(
    own.map(([name, value]) => [name, value + Number(former.get(name) ?? 0n)]),
  ) as Record<keyof MeterCounters, number>;
}

async function* sweepBoth(
  kept: KeptState,
  cache: FlowCache,
  scope: SweepScope,
  memory: BatchMemory | undefined,
): AsyncIterable<FlowRecordBatch> {
  // The cache's sweep begins with what the last run has left in the memory.
  yield* cache.sweep(scope);
  yield* kept.sweepFormer(memory);
}

/** What an interface that appears may need. */
function loadForLater(object: BpfObject, filter: PacketFilter | undefined): void {
  for (const name of INTERFACE_PROGRAMS) {
    try {
      if (filter === undefined) object.programFd(name);
      else filter.programFd(name, NO_NETMASK);
    } catch (error) {
      // It can be none for this kind of interface, which is said when there is one.
      if (!(error instanceof FilterError)) throw error;
    }
  }
}

/** The programs, what attaches them, and the network namespace in which that is done, if any. */
type Loaded = readonly [
  BpfObject,
  (filter: PacketFilter | undefined) => PacketCapture,
  NetworkNamespace?,
];

/**
 * What is learned late of a socket's owner must not be forgotten before its flows expire. Of so many
 * sockets at once; the kernel takes the memory for all of them, 9 MiB a map, whatever there is.
 */
const LATE_OWNERS = 65_536;

/** Flows of sockets that are remembered though none of their packets was selected. */
const UNSAMPLED_SENDERS = 8192;

/** Room for those that appear before the surplus is seen. */
const MIN_SPARE_FLOWS = 8192;
const MIN_SPARE_SHARE = 1 / 32;
const SPARE_SHARE = 1 / 4;

/**
 * The kernel makes a bucket of 16 octets for each flow that there may be, and as many as the next power
 * of two: the spare room ends there.
 */
function roomFor(maxFlows: number): number {
  const least = maxFlows + Math.max(MIN_SPARE_FLOWS, Math.ceil(maxFlows * MIN_SPARE_SHARE));
  const buckets = 2 ** Math.ceil(Math.log2(least));
  return Math.max(least, Math.min(buckets, maxFlows + Math.ceil(maxFlows * SPARE_SHARE)));
}

/** What both ways of capturing load with. */
function loadOptions(options: CacheOptions): LoadOptions {
  const { maxFlows, sampling = NO_SAMPLING, trackLevel = 'full', trackProcess = false } = options;
  const flows = roomFor(maxFlows);
  const unsampled = sampling.kind === 'none' ? 1 : UNSAMPLED_SENDERS;
  const maxEntries = {
    flows_v4: flows,
    flows_v6: flows,
    late_owners: LATE_OWNERS,
    peer_owners: LATE_OWNERS,
    unsampled_v4: unsampled,
    unsampled_v6: unsampled,
  };
  return { maxEntries, sampling, trackLevel, trackProcess };
}

function loadForInterfaces(
  options: CacheOptions & InterfaceCaptureOptions,
  resources: Resources,
  kept: KeptState | undefined,
): Loaded {
  const libc = loadLibc();
  const namespace = resources.add(openNetworkNamespace(options.netns, libc));
  const netns = namespace.inode;
  const object = resources.add(BpfObject.load({ ...loadOptions(options), netns, kept }));
  const changes = resources.add(openInterfaceChanges(namespace, libc));
  const place = { libc, namespace, changes };
  const attach = (filter: PacketFilter | undefined): PacketCapture => {
    // One place at a time: whoever metered at sockets before would count the same packets.
    for (const name of SOCKET_LINKS) kept?.links.dropOthers(name);
    return captureAtInterfaces(object, place, options, filter, kept?.links);
  };
  return [object, attach, namespace];
}

function loadForSockets(
  options: CacheOptions & SocketCaptureOptions,
  resources: Resources,
  kept: KeptState | undefined,
): Loaded {
  const cgroup = findWatchedCgroup(options.cgroup);
  const object = resources.add(
    BpfObject.load({
      ...loadOptions(options),
      kept,
      capture: 'sockets',
      watchedCgroup: cgroup.id,
    }),
  );
  return [object, (filter) => captureAtSockets(object, cgroup, filter, kept?.links)];
}
