// Links: what attaches programs. Where there is a state directory they are pinned in it, so that the next
// process finds them and puts its own programs in the place of ours, without a gap.
import { closeSync, mkdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Libbpf } from '../native/libbpf.js';
import { readLinkTarget, type LinkTarget } from './object-info.js';
import { namesIn, openPin, pin } from './pins.js';

export interface OpenLink {
  readonly fd: number;
  /** Detaches, unless the link is pinned. */
  readonly close: () => void;
}

interface AttachedLink {
  readonly fd: number;
  readonly detach: () => void;
}

interface WantedLink {
  /** Of its own among all links. */
  readonly name: string;
  readonly programFd: number;
  /** Undefined: the kernel cannot change the program of such a link, which gets a new one. */
  readonly target?: LinkTarget;
  /** @throws BpfError */
  readonly create: () => OpenLink;
}

export interface LinkKeeper {
  /**
   * Takes over what a former process attached there, or attaches.
   * @throws BpfError
   */
  readonly attach: (link: WantedLink) => AttachedLink;
  /** Detaches what a former process attached by such names, and this one has not. */
  readonly dropOthers: (prefix?: string) => void;
  /** Keeps a name for the next process; false where a former one has kept it already. */
  readonly mark: (name: string) => boolean;
  readonly unmark: (name: string) => void;
  /** Names that former processes kept, and this one has not. */
  readonly othersMarks: () => readonly string[];
  /** Whether what is attached shall stay when the process ends. */
  readonly stays: () => boolean;
}

/** What names of links at interfaces begin with, and of those at sockets. */
export const INTERFACE_LINK = 'interface-';
export const SOCKET_LINKS = ['socket_egress', 'socket_ingress'] as const;

/** Links that end with the process. */
export const UNPINNED_LINKS: LinkKeeper = {
  attach: ({ create }) => {
    const { fd, close } = create();
    return { fd, detach: close };
  },
  dropOthers: () => undefined,
  mark: () => true,
  unmark: () => undefined,
  othersMarks: () => [],
  stays: () => false,
};

/** Of pins: links of which the new one stands beside the old one for a moment have a number behind it. */
const NUMBERED = '@';
/** Marks are directories, which is all that a BPF file system has beside pins. */
export const MARK = 'mark:';

export class PinnedLinks implements LinkKeeper {
  readonly #libbpf: Libbpf;
  readonly #directory: string;
  /** Of the load that the programs are of. */
  readonly #load: number;
  readonly #own = new Set<string>();
  readonly #open = new Set<OpenLink>();
  #stays: boolean;

  /** @param stays whether there is something already that shall stay, come what may */
  constructor(libbpf: Libbpf, directory: string, load: number, stays: boolean) {
    this.#libbpf = libbpf;
    this.#directory = directory;
    this.#load = load;
    this.#stays = stays;
    mkdirSync(directory, { recursive: true });
  }

  attach = (wanted: WantedLink): AttachedLink => {
    const { name, target } = wanted;
    const file = target === undefined ? `${name}${NUMBERED}${this.#load}` : name;
    const link = this.#takeOver(wanted) ?? this.#create(file, wanted);
    this.#own.add(file);
    this.#open.add(link);
    // The new one first: for a moment both see what happens, and say the same of it.
    if (target === undefined) this.dropOthers(`${name}${NUMBERED}`);
    const detach = (): void => {
      if (!this.#open.delete(link)) return;
      this.#own.delete(file);
      rmSync(join(this.#directory, file), { force: true });
      link.close();
    };
    return { fd: link.fd, detach };
  };

  /** One step in the kernel: a packet meets the old program or the new one. */
  #takeOver({ name, programFd, target }: WantedLink): OpenLink | undefined {
    if (target === undefined || !namesIn(this.#directory).includes(name)) return undefined;
    const path = join(this.#directory, name);
    const fd = openPin(this.#libbpf, path);
    if (
      isSameTarget(readLinkTarget(this.#libbpf, fd), target) &&
      this.#libbpf.updateLink(fd, programFd, null) === 0
    ) {
      return { fd, close: closer(fd) };
    }
    closeSync(fd);
    rmSync(path);
    return undefined;
  }

  #create(file: string, { create }: WantedLink): OpenLink {
    const link = create();
    try {
      const path = join(this.#directory, file);
      rmSync(path, { force: true });
      pin(this.#libbpf, link.fd, path);
      return link;
    } catch (error) {
      link.close();
      throw error;
    }
  }

  dropOthers = (prefix = ''): void => {
    for (const name of namesIn(this.#directory)) {
      if (this.#own.has(name) || name.startsWith(MARK) || !name.startsWith(prefix)) continue;
      rmSync(join(this.#directory, name));
    }
  };

  mark = (name: string): boolean => {
    const file = `${MARK}${name}`;
    this.#own.add(file);
    if (namesIn(this.#directory).includes(file)) return false;
    mkdirSync(join(this.#directory, file));
    return true;
  };

  unmark = (name: string): void => {
    const file = `${MARK}${name}`;
    this.#own.delete(file);
    if (namesIn(this.#directory).includes(file)) rmdirSync(join(this.#directory, file));
  };

  othersMarks = (): readonly string[] =>
    namesIn(this.#directory)
      .filter((name) => name.startsWith(MARK) && !this.#own.has(name))
      .map((name) => name.slice(MARK.length));

  stays = (): boolean => this.#stays;

  /** From now on all of it shall stay when the process ends. */
  settle(): void {
    this.dropOthers();
    this.#stays = true;
  }

  /** The links stay where they are pinned. */
  close(): void {
    for (const link of this.#open) link.close();
    this.#open.clear();
  }
}

function closer(fd: number): () => void {
  return () => {
    closeSync(fd);
  };
}

function isSameTarget(a: LinkTarget, b: LinkTarget): boolean {
  if (a.kind === 'interface') return b.kind === a.kind && a.interfaceIndex === b.interfaceIndex;
  return a.kind === 'cgroup' && b.kind === a.kind && a.cgroupId === b.cgroupId;
}
