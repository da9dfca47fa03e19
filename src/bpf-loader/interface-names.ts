// The interfaces of the metered network namespace, for collectors: flows have only their indexes.
import { readFileSync } from 'node:fs';
import type { MeteredInterface } from '../flow/metering-status.js';
import { loadLibc } from './native/libc.js';
import { openNetworkNamespace, type NetworkNamespace } from './network-namespace.js';

export interface InterfaceNames {
  /** Those that there are now. */
  readonly interfaces: () => readonly MeteredInterface[];
  readonly close: () => void;
}

const SYSFS_INTERFACES = '/sys/class/net';

/**
 * @param netns name or path of a network namespace; undefined: the own one
 * @param shared the same, where it is open already
 * @throws BpfError when there is none, or it may not be entered
 */
export function openInterfaceNames(
  netns: string | undefined,
  shared?: NetworkNamespace,
): InterfaceNames {
  const libc = loadLibc();
  const namespace = shared ?? openNetworkNamespace(netns, libc);
  return {
    interfaces: () => {
      if (namespace.isRemoved()) return [];
      const found = [...namespace.run(libc.interfaces)];
      return found.map(([index, name]) => ({
        index,
        name,
        description: netns === undefined ? alias(index, name) : '',
      }));
    },
    close: () => {
      if (shared === undefined) namespace.close();
    },
  };
}

/** What an administrator wrote: `ip link set NAME alias TEXT`. Empty without one. */
function alias(index: number, name: string): string {
  const directory = `${SYSFS_INTERFACES}/${name}`;
  try {
    // sysfs shows the namespace in which it was mounted, which may be another.
    const isSame = readFileSync(`${directory}/ifindex`, 'utf8').trim() === String(index);
    return isSame ? readFileSync(`${directory}/ifalias`, 'utf8').trim() : '';
  } catch {
    return '';
  }
}
