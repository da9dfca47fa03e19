// Metering at interfaces: attaches the packet programs to those that are wanted, and follows them as
// they come and go.
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
import type { Libc } from './native/libc.js';
import type { NetworkNamespace } from './network-namespace.js';
import type { PacketCapture } from './packet-capture.js';

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

/**
 * @param filter what stands before the meter, if anything
 * @throws BpfError when an interface that was named cannot be metered, or none of any; FilterError
 */
export function captureAtInterfaces(
  object: BpfObject,
  libc: Libc,
  namespace: NetworkNamespace,
  options: InterfaceCaptureOptions,
  filter?: PacketFilter,
): PacketCapture {
  const attachments = new InterfaceAttachments(options, (name, mode) =>
    attachInterface(object, libc, name, { mode, filter }),
  );
  const stop = (): void => {
    namespace.run(() => {
      attachments.detachAll();
    });
  };
  try {
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
  } catch (error) {
    stop();
    throw error;
  }
  return {
    metered: () => ({ interfaces: attachments.names() }),
    rescanInterfaces: () => {
      namespace.run(() => {
        attachments.follow(wantedInterfaces(options.interfaces, libc));
      });
    },
    close: stop,
  };
}

/** Those that are there, index to name. One that is named twice, by an alternative name, is one. */
function wantedInterfaces(
  wanted: InterfaceCaptureOptions['interfaces'],
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
  readonly #options: InterfaceCaptureOptions;
  readonly #attach: (name: string, mode: AttachMode) => Attachment;
  readonly #attached = new Map<number, Attachment>();
  /** Interfaces that could not be attached to, which is said once; and whether to try again. */
  readonly #refused = new Map<number, 'for good' | 'for now'>();
  #mode: AttachMode = 'tcx';
  #stopped = false;

  constructor(
    options: InterfaceCaptureOptions,
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
        if (!(error instanceof BpfError || error instanceof FilterError)) throw error;
        const isNew = !this.#refused.has(index);
        // Its link layer never changes, and so does what a filter can be on it.
        const isForGood = error instanceof FilterError || error.code === 'EPFNOSUPPORT';
        this.#refused.set(index, isForGood ? 'for good' : 'for now');
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
