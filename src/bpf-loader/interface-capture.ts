// Metering at interfaces: attaches the packet programs to those that are wanted, and follows them as
// they come, go, change their names and move to other network namespaces.
import { BpfError } from './bpf-error.js';
import { FilterError } from './filter/compile-filter.js';
import type { PacketFilter } from './filter/packet-filter.js';
import type { BpfObject } from './bpf-object.js';
import {
  attachInterface,
  probeAttachMode,
  requireInterface,
  type AttachMode,
  type Attachment,
} from './interface-attachment.js';
import type { InterfaceChange, InterfaceChanges } from './interface-changes.js';
import type { Libc } from './native/libc.js';
import type { NetworkNamespace } from './network-namespace.js';
import type { PacketCapture } from './packet-capture.js';
import { interfaceOfMark, removeClsact, removeLeftFilters } from './state/left-filters.js';
import { UNPINNED_LINKS, type LinkKeeper } from './state/link-keeper.js';

export interface InterfaceCaptureOptions {
  readonly capture?: 'interface';
  /** Interface names, or 'any': all of them. Either way also those that appear later. */
  readonly interfaces: readonly string[] | 'any';
  /** Name (under /run/netns) or path of the network namespace to meter in. */
  readonly netns?: string;
  /** How to attach: 'auto' takes TCX where the kernel has it. */
  readonly attach?: 'auto' | AttachMode;
  /** Told what an operator should know but what stops nothing; one line each. */
  readonly onNotice: (line: string) => void;
}

/** Of those that come or go at once, so many have a line of their own. */
const MAX_NAMED = 8;

/**
 * For each link the kernel waits until no processor is in the old programs, 10 ms and more: attaching to
 * hundreds of interfaces at once would keep everything else from its turn.
 */
const MOST_AT_START_MS = 2000;
const MOST_AT_ONCE_MS = 30;

/** Where the interfaces are. */
export interface InterfacePlace {
  readonly libc: Libc;
  /** Closed here when it was removed. */
  readonly namespace: NetworkNamespace;
  readonly changes: InterfaceChanges;
}

/**
 * @param filter what stands before the meter, if anything
 * @throws BpfError when an interface that was named cannot be metered, or none of any; FilterError
 */
export function captureAtInterfaces(
  object: BpfObject,
  { libc, namespace, changes }: InterfacePlace,
  options: InterfaceCaptureOptions,
  filter?: PacketFilter,
  keeper: LinkKeeper = UNPINNED_LINKS,
): PacketCapture {
  const { interfaces, attach = 'auto' } = options;
  const attachments = new InterfaceAttachments(options, (index, name, mode) =>
    attachInterface(object, libc, { index, name }, { mode, filter, keeper }),
  );
  let present: ReadonlyMap<number, string> = new Map();
  let isOver = false;
  const stop = (): void => {
    if (isOver) return;
    isOver = true;
    const detach = attachments.detachAll.bind(attachments);
    // Links go with their descriptors, from anywhere.
    if (attachments.mode === 'tcx') detach();
    else namespace.run(detach);
  };
  try {
    const first = changes.look();
    namespace.run(() => {
      const mode = attach === 'auto' ? probeAttachMode(object, libc) : attach;
      if (interfaces !== 'any') for (const name of interfaces) requireInterface(libc, name);
      present = first?.present ?? libc.interfaces();
      attachments.attachFirst(mode, interfaces === 'any' ? present : named(interfaces, libc));
      forgetOtherFilters(object, keeper);
    });
  } catch (error) {
    stop();
    throw error;
  }
  return {
    metered: () => ({ interfaces: attachments.names() }),
    neededLater: NEEDED_LATER[attachments.mode],
    rescanInterfaces: () => {
      if (isOver) return false;
      if (namespace.isRemoved()) {
        stop();
        // Open, it would live on with its interfaces, and so would the other ends of their links.
        changes.close();
        namespace.close();
        options.onNotice(
          `network namespace ${options.netns ?? ''} was removed: nothing is metered`,
        );
        return false;
      }
      const change = changes.look();
      // Names are few, and the kernel does not tell of every new one of an interface.
      if (change === undefined && interfaces === 'any' && !attachments.isIncomplete) return false;
      if (change !== undefined) present = change.present;
      namespace.run(() => {
        const wanted = interfaces === 'any' ? present : named(interfaces, libc);
        attachments.follow(wanted, change?.left ?? NONE);
      });
      return attachments.isInterrupted;
    },
    close: stop,
  };
}

/** A TCX link is made and goes by descriptors alone; filters are set and removed by netlink. */
const NEEDED_LATER = { tcx: [], clsact: ['CAP_NET_ADMIN'] } as const;

const NONE: InterfaceChange['left'] = new Set();

/** Of a former process, at interfaces that this one does not meter, or not by filters. */
function forgetOtherFilters({ libbpf }: BpfObject, keeper: LinkKeeper): void {
  for (const mark of keeper.othersMarks()) {
    const ifindex = interfaceOfMark(mark);
    if (ifindex === undefined) continue;
    removeLeftFilters(libbpf, ifindex, `number ${ifindex}`);
    removeClsact(libbpf, ifindex);
    keeper.unmark(mark);
  }
}

/** Those that are there, index to name. One that is named twice, by an alternative name, is one. */
function named(names: readonly string[], libc: Libc): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of names) {
    const index = libc.interfaceIndex(name);
    if (index !== 0 && !found.has(index)) found.set(index, name);
  }
  return found;
}

interface Metered {
  readonly attachment: Attachment;
  /** As it is called now. */
  readonly name: string;
}

/** Which interfaces are metered, by index: a name can move to another interface. */
class InterfaceAttachments {
  readonly #options: InterfaceCaptureOptions;
  readonly #attach: (index: number, name: string, mode: AttachMode) => Attachment;
  readonly #metered = new Map<number, Metered>();
  /** Interfaces that could not be attached to, which is said once; and whether to try again. */
  readonly #refused = new Map<number, 'for good' | 'for now'>();
  mode: AttachMode = 'tcx';
  /** To be told when no more are waiting. */
  readonly #appeared: string[] = [];
  /** Not all could be attached to in the time that there is: the rest wants another turn. */
  isInterrupted = false;

  constructor(
    options: InterfaceCaptureOptions,
    attach: (index: number, name: string, mode: AttachMode) => Attachment,
  ) {
    this.#options = options;
    this.#attach = attach;
  }

  names(): readonly string[] {
    return [...this.#metered.values()].map(({ name }) => name);
  }

  /** Some that are there are not metered yet, but may be at the next try. */
  get isIncomplete(): boolean {
    return this.isInterrupted || [...this.#refused.values()].includes('for now');
  }

  /** @throws BpfError when an interface that was named cannot be metered, or none of any */
  attachFirst(mode: AttachMode, present: ReadonlyMap<number, string>): void {
    this.mode = mode;
    if (this.#options.interfaces === 'any') {
      this.#attachNew(present, MOST_AT_START_MS);
      if (this.#metered.size === 0) {
        throw new BpfError('ENODEV', 'meter any interface', 'none could be attached to');
      }
      return;
    }
    for (const [index, name] of present) this.#add(index, name);
  }

  /**
   * Makes the attachments match the interfaces that are there.
   * @param left those of which it is to be looked at whether anything is attached still
   */
  follow(present: ReadonlyMap<number, string>, left: InterfaceChange['left']): void {
    const gone: string[] = [];
    for (const [index, { attachment, name }] of this.#metered) {
      const nameNow = present.get(index);
      const isInDoubt = left === 'unknown' || left.has(index);
      if (nameNow === undefined || (isInDoubt && !attachment.isAttached())) {
        attachment.detach();
        this.#metered.delete(index);
        gone.push(name);
      } else if (nameNow !== name) {
        this.#metered.set(index, { attachment, name: nameNow });
        this.#options.onNotice(`interface ${name} is called ${nameNow} now`);
      }
    }
    for (const index of this.#refused.keys()) if (!present.has(index)) this.#refused.delete(index);
    this.#tell(gone, 'is gone', 'are gone');
    this.#appeared.push(...this.#attachNew(present, MOST_AT_ONCE_MS));
    if (this.isInterrupted) return;
    this.#tell(this.#appeared.splice(0), 'appeared and is metered', 'appeared and are metered');
  }

  /** @returns the names of those that were attached to */
  #attachNew(present: ReadonlyMap<number, string>, mostMs: number): string[] {
    const names: string[] = [];
    const endMs = performance.now() + mostMs;
    this.isInterrupted = false;
    for (const [index, name] of present) {
      if (this.#metered.has(index) || this.#refused.get(index) === 'for good') continue;
      if (performance.now() > endMs) {
        this.isInterrupted = true;
        break;
      }
      try {
        this.#add(index, name);
        this.#refused.delete(index);
        names.push(name);
      } catch (error) {
        if (!(error instanceof BpfError || error instanceof FilterError)) throw error;
        const isNew = !this.#refused.has(index);
        // Its link layer never changes, and so does what a filter can be on it.
        const isForGood = error instanceof FilterError || error.code === 'EPFNOSUPPORT';
        this.#refused.set(index, isForGood ? 'for good' : 'for now');
        // It left, or changed its name, since it was listed: that is told next.
        const isPassing = error instanceof BpfError && error.code === 'ENODEV';
        if (isNew && !isPassing) {
          this.#options.onNotice(`interface ${name} is not metered: ${error.message}`);
        }
      }
    }
    return names;
  }

  #add(index: number, name: string): void {
    this.#metered.set(index, { attachment: this.#attach(index, name, this.mode), name });
  }

  /** A line each, or one for all where containers come and go by the dozen. */
  #tell(names: readonly string[], one: string, many: string): void {
    if (names.length > MAX_NAMED) {
      const shown = names.slice(0, MAX_NAMED).join(', ');
      const rest = names.length - MAX_NAMED;
      this.#options.onNotice(`interfaces ${shown} and ${rest} more ${many}`);
      return;
    }
    for (const name of names) this.#options.onNotice(`interface ${name} ${one}`);
  }

  detachAll(): void {
    for (const { attachment } of this.#metered.values()) attachment.detach();
    this.#metered.clear();
  }
}
