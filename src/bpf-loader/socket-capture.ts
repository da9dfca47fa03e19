// Metering at the sockets of a cgroup: in all network namespaces, without attaching to an interface.
import { closeSync, readFileSync, statSync } from 'node:fs';
import { BpfError } from './bpf-error.js';
import type { LoadedPrograms } from './bpf-object.js';
import type { PacketFilter } from './filter/packet-filter.js';
import type { PacketCapture } from './packet-capture.js';
import {
  INTERFACE_LINK,
  UNPINNED_LINKS,
  type LinkKeeper,
  type OpenLink,
} from './state/link-keeper.js';
import { findCgroup2Mount, openCgroup } from './socket-hooks.js';

export interface SocketCaptureOptions {
  readonly capture: 'sockets';
}

interface WatchedCgroup {
  readonly path: string;
  /** As the kernel numbers it; 0n for the root of all. */
  readonly id: bigint;
}

/** The kernel gives the root of the hierarchy the first number, and says it as the inode's. */
const ROOT_CGROUP_ID = 1n;

/** Egress first: a packet on loopback that is seen at both ends counts at its sender. */
const PROGRAMS = [
  { name: 'socket_egress', attachType: 1 }, // enum bpf_attach_type
  { name: 'socket_ingress', attachType: 0 },
] as const;

/**
 * @param path directory of cgroup v2; undefined: where it is mounted
 * @throws BpfError when there is none
 */
export function findWatchedCgroup(path: string | undefined): WatchedCgroup {
  const directory = path ?? findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8'));
  if (directory === undefined) {
    const advice = 'mount it: mount -t cgroup2 none /sys/fs/cgroup; or use --capture interface';
    throw new BpfError('ENOENT', 'meter sockets', `cgroup v2 is not mounted; ${advice}`);
  }
  const inode = statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino;
  if (inode === undefined) {
    throw new BpfError('ENOENT', `open cgroup ${directory}`, 'give a directory of cgroup v2');
  }
  return { path: directory, id: inode === ROOT_CGROUP_ID ? 0n : inode };
}

/**
 * @param filter what stands before the meter, if anything
 * @throws BpfError, FilterError
 */
export function captureAtSockets(
  object: LoadedPrograms,
  { path }: WatchedCgroup,
  filter?: PacketFilter,
  keeper: LinkKeeper = UNPINNED_LINKS,
): PacketCapture {
  const { libbpf } = object;
  const links: (() => void)[] = [];
  const close = (): void => {
    for (let detach = links.pop(); detach; detach = links.pop()) detach();
  };
  const fd = openCgroup(path);
  const target = { kind: 'cgroup', cgroupId: statSync(path, { bigint: true }).ino } as const;
  // One place at a time: whoever metered at interfaces before would count the same packets.
  keeper.dropOthers(INTERFACE_LINK);
  try {
    for (const { name, attachType } of PROGRAMS) {
      const program = filter?.programFd(name) ?? object.programFd(name);
      const create = (): OpenLink => {
        const link = libbpf.createLink(program, fd, attachType, null);
        if (link < 0) throw object.error(-link, `attach ${name} to cgroup ${path}`);
        return {
          fd: link,
          close: () => {
            closeSync(link);
          },
        };
      };
      links.push(keeper.attach({ name, programFd: program, target, create }).detach);
    }
  } catch (error) {
    close();
    throw error;
  } finally {
    closeSync(fd);
  }
  return {
    metered: () => ({ cgroup: path }),
    // To attach again after a stop.
    neededLater: ['CAP_NET_ADMIN'],
    rescanInterfaces: () => false,
    close,
  };
}
