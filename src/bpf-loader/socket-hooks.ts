// The programs that keep the owners of sockets, and the walk over the descriptors that were open
// before them.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { LoadedPrograms } from './bpf-object.js';
import { BpfError } from './bpf-error.js';
import type { LinkPointer } from './native/libbpf.js';

interface SocketHooks {
  readonly close: () => void;
}

const SNAPSHOT_OCTETS = 4096; // the walk writes nothing; reading drives it

/** Where cgroup v2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified in the hybrid layout. */
export function findCgroup2Mount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    // id parent device root mountpoint options [optional...] - type source options
    const [before, after] = line.split(' - ');
    if (after?.startsWith('cgroup2 ')) return before?.split(' ')[4];
  }
  return undefined;
}

/** @throws BpfError */
export function openCgroup(directory: string): number {
  try {
    return openSync(directory, 'r');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new BpfError(code, `open cgroup ${directory}`, 'give a directory of cgroup v2');
  }
}

function attachToCgroup(object: LoadedPrograms, cgroup: string): LinkPointer {
  const fd = openCgroup(cgroup);
  try {
    return object.link(
      object.libbpf.attachCgroup(object.program('socket_created'), fd),
      `attach socket_created to cgroup ${cgroup}`,
    );
  } finally {
    closeSync(fd);
  }
}

/** Nobody asked for this cgroup, so that metering does not fail with it. */
function attachToRoot(
  object: LoadedPrograms,
  onNotice: (line: string) => void,
): LinkPointer | undefined {
  const consequence = 'a socket has an owner only from its first use on';
  const directory = findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8'));
  if (directory === undefined) {
    onNotice(`cgroup v2 is not mounted; ${consequence}`);
    return undefined;
  }
  try {
    return attachToCgroup(object, directory);
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    onNotice(`${error.message}; ${consequence}`);
    return undefined;
  }
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
): SocketHooks {
  const links: LinkPointer[] = [];
  const close = (): void => {
    for (let link = links.pop(); link !== undefined; link = links.pop()) {
      object.libbpf.destroyLink(link);
    }
  };
  try {
    for (const name of ['socket_state_changed', 'socket_sent', 'socket_received']) {
      if (object.unavailable.has(name)) {
        onNotice(
          `${name}: not in this kernel; sockets shared by processes stay with their creator`,
        );
        continue;
      }
      links.push(object.link(object.libbpf.attach(object.program(name)), `attach ${name}`));
    }
    const link =
      cgroup === undefined ? attachToRoot(object, onNotice) : attachToCgroup(object, cgroup);
    if (link !== undefined) links.push(link);
    snapshotSockets(object);
    return { close };
  } catch (error) {
    close();
    throw error;
  }
}
