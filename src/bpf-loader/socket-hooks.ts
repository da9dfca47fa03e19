// The programs that keep the owners of sockets, and the walk over the descriptors that were open
// before them.
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  statSync,
  statfsSync,
} from 'node:fs';
import type { LoadedPrograms } from './bpf-object.js';
import { BpfError } from './bpf-error.js';
import { attachTracing } from './state/attach-tracing.js';
import { UNPINNED_LINKS, type LinkKeeper, type OpenLink } from './state/link-keeper.js';

type Detach = () => void;

interface SocketHooks {
  readonly close: () => void;
}

const SNAPSHOT_OCTETS = 4096; // the walk writes nothing; reading drives it

/** Where cgroup v2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified in the hybrid layout. */
export function findCgroup2Mount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    // id parent device root mountpoint options [optional...] - type source options
    const [before, after] = line.split(' - ');
    if (after?.startsWith('cgroup2 ')) return unescapePath(before?.split(' ')[4]);
  }
  return undefined;
}

/** Blanks and backslashes are there as "\040". */
function unescapePath(path: string | undefined): string | undefined {
  return path?.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Where sockets are created and closed, and datagrams sent to and received from any peer. */
const CGROUP_PROGRAMS = [
  'socket_created',
  'socket_released',
  'datagram_sent_v4',
  'datagram_sent_v6',
  'datagram_received_v4',
  'datagram_received_v6',
] as const;

const CGROUP2_MAGIC = 0x63677270; // include/uapi/linux/magic.h

/** @throws BpfError */
export function openCgroup(directory: string): number {
  const refuse = (code: string): BpfError =>
    new BpfError(code, `open cgroup ${directory}`, 'give a directory of cgroup v2');
  let fd: number;
  try {
    fd = openSync(directory, constants.O_DIRECTORY);
  } catch (cause) {
    throw refuse((cause as NodeJS.ErrnoException).code ?? 'EIO');
  }
  if (statfsSync(directory).type === CGROUP2_MAGIC) return fd;
  closeSync(fd);
  throw refuse('ENOTSUP');
}

/** All or, when one is refused, none. */
function attachToCgroup(object: LoadedPrograms, cgroup: string, keeper: LinkKeeper): Detach[] {
  const { libbpf } = object;
  const fd = openCgroup(cgroup);
  const target = { kind: 'cgroup', cgroupId: statSync(cgroup, { bigint: true }).ino } as const;
  const links: Detach[] = [];
  const create = (name: string): OpenLink => {
    const link = object.link(
      libbpf.attachCgroup(object.program(name), fd),
      `attach ${name} to cgroup ${cgroup}`,
    );
    return { fd: libbpf.linkFd(link), close: () => void libbpf.destroyLink(link) };
  };
  try {
    for (const name of CGROUP_PROGRAMS) {
      const programFd = object.programFd(name);
      links.push(keeper.attach({ name, programFd, target, create: () => create(name) }).detach);
    }
    return links;
  } catch (error) {
    for (const detach of links) detach();
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Nobody asked for this cgroup, so that metering does not fail with it. */
function attachToRoot(
  object: LoadedPrograms,
  keeper: LinkKeeper,
  onNotice: (line: string) => void,
): Detach[] {
  const consequence = 'a socket has an owner only from its first use on';
  const directory = findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8'));
  if (directory === undefined) {
    onNotice(`cgroup v2 is not mounted; ${consequence}`);
    return [];
  }
  try {
    return attachToCgroup(object, directory, keeper);
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    onNotice(`${error.message}; ${consequence}`);
    return [];
  }
}

/** By what a process is seen using a socket: of the programs, the first that was loaded. */
const CALLS = [
  { programs: ['socket_state_changed'], without: 'connecting is not seen' },
  {
    programs: ['socket_sent', 'socket_sends'],
    without: 'sending is not seen: sockets shared by processes stay with their creator',
  },
  {
    programs: ['socket_received', 'socket_receives'],
    without: 'receiving is not seen: sockets shared by processes stay with their creator',
  },
  { programs: ['socket_drained'], without: 'receiving by splice is not seen' },
] as const;

function attachCalls(
  object: LoadedPrograms,
  keeper: LinkKeeper,
  onNotice: (line: string) => void,
): Detach[] {
  const links: Detach[] = [];
  for (const { programs, without } of CALLS) {
    const name = programs.find((program) => !object.unavailable.has(program));
    if (name === undefined) {
      onNotice(`this kernel has no hook for ${programs.join(', ')}; ${without}`);
      continue;
    }
    links.push(attachTracing(object, name, keeper));
  }
  return links;
}

/** Reads once. EAGAIN is no end: see readOrRetry in flow-cache.ts. */
function isAtEnd(fd: number, buffer: Buffer): boolean {
  try {
    return readSync(fd, buffer) === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
    throw error;
  }
}

/** Drives the task_file iterator once; it fills the owners of sockets that have none. */
function snapshotSockets(object: LoadedPrograms): void {
  const { libbpf } = object;
  const link = object.link(
    libbpf.attachIterator(object.program('snapshot_sockets'), null),
    'attach snapshot_sockets',
  );
  try {
    const fd = libbpf.createIterator(libbpf.linkFd(link));
    if (fd < 0) throw object.error(-fd, 'walk the open sockets');
    try {
      const nothing = Buffer.alloc(SNAPSHOT_OCTETS);
      while (!isAtEnd(fd, nothing));
    } finally {
      closeSync(fd);
    }
  } finally {
    libbpf.destroyLink(link);
  }
}

/**
 * Attaches every hook that the kernel has, then takes the snapshot: a socket that is opened in
 * between is seen by both, and the hooks' word stands.
 * @param cgroup directory of cgroup v2; undefined: its root
 * @throws BpfError
 */
export function attachSocketHooks(
  object: LoadedPrograms,
  cgroup: string | undefined,
  onNotice: (line: string) => void,
  keeper: LinkKeeper = UNPINNED_LINKS,
): SocketHooks {
  const links: Detach[] = [];
  const close = (): void => {
    if (!keeper.stays()) for (let detach = links.pop(); detach; detach = links.pop()) detach();
  };
  try {
    links.push(...attachCalls(object, keeper, onNotice));
    links.push(
      ...(cgroup === undefined
        ? attachToRoot(object, keeper, onNotice)
        : attachToCgroup(object, cgroup, keeper)),
    );
    snapshotSockets(object);
    return { close };
  } catch (error) {
    close();
    throw error;
  }
}
