// The kernel's flow cache as a FlowSource: loads the programs, attaches them, sweeps the cache.
import type { FlowSource } from '../flow/flow-source.js';
import type { ProcessEventSource } from '../flow/process-event-source.js';
import { BpfError } from './bpf-error.js';
import { BpfObject } from './bpf-object.js';
import { openFlowCache } from './flow-cache.js';
import {
  attachInterface,
  probeAttachMode,
  requireInterface,
  type AttachMode,
  type Attachment,
} from './interface-attachment.js';
import { loadLibc, type Libc } from './native/libc.js';
import { openNetworkNamespace } from './network-namespace.js';
import { openProcessEvents } from './process-events.js';
import { attachSocketHooks } from './socket-hooks.js';

interface KernelFlowSourceOptions {
  /** Interface names, or 'any': all of them. Either way also those that appear later. */
  readonly interfaces: readonly string[] | 'any';
  /** Name (under /run/netns) or path of the network namespace to meter in. */
  readonly netns?: string;
  readonly activeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Most flows that the cache holds at a time, for each of IPv4 and IPv6. */
  readonly maxFlows: number;
  /** cgroup v2 directory whose sockets are seen at creation; default: the root. */
  readonly cgroup?: string;
  /** How to attach: 'auto' takes TCX where the kernel has it. */
  readonly attach?: 'auto' | AttachMode;
  /** Told what an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
}

export interface KernelFlowSource extends FlowSource {
  /** Tells of every process that begins from now on, and of those that there are. */
  readonly processes: ProcessEventSource;
  /** Names of the interfaces metered now. */
  readonly interfaces: () => readonly string[];
  /** Attaches to interfaces that appeared, forgets those that went. Cheap; call it often. */
  readonly rescanInterfaces: () => void;
}

/** After a FIN or RST a TCP flow waits this long for the packets that close the connection. */
const ENDED_TIMEOUT_MS = 1000;

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

/** @throws BpfError with a message for the user */
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
  const libc = loadLibc();
  const namespace = resources.add(openNetworkNamespace(options.netns, libc));
  const object = resources.add(
    BpfObject.load({
      maxEntries: { flows_v4: options.maxFlows, flows_v6: options.maxFlows },
      netns: namespace.inode,
    }),
  );
  const cache = resources.add(
    openFlowCache(object, {
      activeTimeoutMs: options.activeTimeoutMs,
      idleTimeoutMs: options.idleTimeoutMs,
      endedTimeoutMs: Math.min(ENDED_TIMEOUT_MS, options.idleTimeoutMs),
    }),
  );
  // Before any socket has an owner, so that no owner is one that nobody was told of.
  const processes = resources.add(openProcessEvents(object));
  resources.add(attachSocketHooks(object, options.cgroup, options.onNotice));

  const attachments = new InterfaceAttachments(options, (name, mode) =>
    attachInterface(object, libc, name, mode),
  );
  resources.add({
    close: () => {
      namespace.run(() => {
        attachments.detachAll();
      });
    },
  });
  namespace.run(() => {
    const mode =
      options.attach === undefined || options.attach === 'auto'
        ? probeAttachMode(object, libc)
        : options.attach;
    if (options.interfaces !== 'any') {
      for (const name of options.interfaces) requireInterface(libc, name);
    }
    attachments.attachFirst(mode, wantedInterfaces(options.interfaces, libc));
  });

  return {
    processes,
    interfaces: () => attachments.names(),
    rescanInterfaces: () => {
      namespace.run(() => {
        attachments.follow(wantedInterfaces(options.interfaces, libc));
      });
    },
    stop: () => {
      namespace.run(() => {
        attachments.detachAll();
      });
    },
    sweep: cache.sweep,
    counters: cache.counters,
    close: () => {
      resources.close();
    },
  };
}

/** Those that are there, index to name. One that is named twice, by an alternative name, is one. */
function wantedInterfaces(
  wanted: KernelFlowSourceOptions['interfaces'],
  libc: Libc,
): Map<number, string> {
  if (wanted === 'any') return libc.interfaces();
  const found = new Map<number, string>();
  for (const name of wanted) {
    const index = libc.interfaceIndex(name);
    if (index !== 0 && !found.has(index)) found.set(index, name);
  }
  return found;
}

/** Which interfaces are metered, by index: a name can move to another interface. */
class InterfaceAttachments {
  readonly #options: KernelFlowSourceOptions;
  readonly #attach: (name: string, mode: AttachMode) => Attachment;
  readonly #attached = new Map<number, Attachment>();
  /** Interfaces that could not be attached to, which is said once; and whether to try again. */
  readonly #refused = new Map<number, 'for good' | 'for now'>();
  #mode: AttachMode = 'tcx';
  #stopped = false;

  constructor(
    options: KernelFlowSourceOptions,
    attach: (name: string, mode: AttachMode) => Attachment,
  ) {
    this.#options = options;
    this.#attach = attach;
  }

  names(): readonly string[] {
    return [...this.#attached.values()].map((attachment) => attachment.interfaceName);
  }

  /** @throws BpfError when an interface that was named cannot be metered, or none of any */
  attachFirst(mode: AttachMode, present: ReadonlyMap<number, string>): void {
    this.#mode = mode;
    if (this.#options.interfaces === 'any') {
      this.#attachNew(present);
      if (this.#attached.size === 0) {
        throw new BpfError('ENODEV', 'meter any interface', 'none could be attached to');
      }
      return;
    }
    for (const name of present.values()) this.#add(this.#attach(name, mode));
  }

  /** Makes the attachments match the interfaces that are there. */
  follow(present: ReadonlyMap<number, string>): void {
    if (this.#stopped) return;
    for (const [index, attachment] of this.#attached) {
      if (present.has(index)) continue;
      attachment.detach();
      this.#attached.delete(index);
      this.#options.onNotice(`interface ${attachment.interfaceName} is gone`);
    }
    for (const index of this.#refused.keys()) if (!present.has(index)) this.#refused.delete(index);
    for (const name of this.#attachNew(present)) {
      this.#options.onNotice(`interface ${name} appeared and is metered`);
    }
  }

  /** @returns the names of those that were attached to */
  #attachNew(present: ReadonlyMap<number, string>): string[] {
    const names: string[] = [];
    for (const [index, name] of present) {
      if (this.#attached.has(index) || this.#refused.get(index) === 'for good') continue;
      try {
        this.#add(this.#attach(name, this.#mode));
        this.#refused.delete(index);
        names.push(name);
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        const isNew = !this.#refused.has(index);
        // Only its link layer will never change.
        this.#refused.set(index, error.code === 'EPFNOSUPPORT' ? 'for good' : 'for now');
        if (isNew) this.#options.onNotice(`interface ${name} is not metered: ${error.message}`);
      }
    }
    return names;
  }

  #add(attachment: Attachment): void {
    this.#attached.set(attachment.interfaceIndex, attachment);
  }

  detachAll(): void {
    this.#stopped = true;
    for (const attachment of this.#attached.values()) attachment.detach();
    this.#attached.clear();
  }
}
