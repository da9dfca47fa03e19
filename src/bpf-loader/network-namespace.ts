// Entering a network namespace for the time of a call: interface indexes and TC attachments are
// those of the calling thread's namespace. Everything else, the export sockets above all, stays.
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { BpfError } from './bpf-error.js';
import type { Libc } from './native/libc.js';
import { lastErrno } from './native/memory.js';
import { getSystemErrorName } from 'node:util';

const NAMED_NAMESPACES = '/run/netns';
/** A namespace outlives the process by whose path it was opened, if others are in it. */
const PROCESSES = '/proc/';
const OWN_NAMESPACE = '/proc/thread-self/ns/net';

export interface NetworkNamespace {
  /** Inode number, by which lsns and ip netns know it. */
  readonly inode: number;
  /** Runs `body` inside. It must not be asynchronous: the thread comes back when it returns. */
  readonly run: <Result>(body: () => Result) => Result;
  /**
   * Whether its name stands for it no more: it lives on only because it is open here, and its interfaces
   * with it. Never so of the own one, and of those that processes show in /proc.
   */
  readonly isRemoved: () => boolean;
  /** After this run() throws. More than once does no harm. */
  readonly close: () => void;
}

function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    const advice =
      code === 'ENOENT' ? '`ip netns list` shows those that have a name' : 'needs CAP_SYS_ADMIN';
    throw new BpfError(code, `open network namespace ${path}`, advice);
  }
}

/**
 * @param nameOrPath a name under /run/netns, a path, or undefined for the current one
 * @throws BpfError when there is none, or it may not be entered
 */
export function openNetworkNamespace(nameOrPath: string | undefined, libc: Libc): NetworkNamespace {
  if (nameOrPath === undefined) {
    const inode = statSync(OWN_NAMESPACE).ino;
    return { inode, run: (body) => body(), isRemoved: () => false, close: () => undefined };
  }
  const path = nameOrPath.includes('/') ? nameOrPath : `${NAMED_NAMESPACES}/${nameOrPath}`;
  const own = openNamespace(OWN_NAMESPACE);
  const target = openNamespace(path);
  const enter = (fd: number, operation: string): void => {
    if (libc.enterNetworkNamespace(fd) === 0) return;
    const code = getSystemErrorName(-lastErrno());
    throw new BpfError(
      code,
      operation,
      code === 'EPERM' ? 'needs CAP_SYS_ADMIN: run as root' : 'is it a network namespace?',
    );
  };
  const inode = fstatSync(target).ino;
  let isOpen = true;
  return {
    inode,
    run: (body) => {
      if (!isOpen)
        throw new BpfError('ENOENT', `enter network namespace ${path}`, 'it was removed');
      enter(target, `enter network namespace ${path}`);
      try {
        return body();
      } finally {
        enter(own, 'return to the own network namespace');
      }
    },
    isRemoved: () => !path.startsWith(PROCESSES) && !isAt(path, inode),
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      closeSync(target);
      closeSync(own);
    },
  };
}

function isAt(path: string, inode: number): boolean {
  try {
    return statSync(path).ino === inode;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}
