// Moves this thread into network namespaces, so that a test's own sockets are made there.
import { closeSync, openSync } from 'node:fs';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { bringUp, createNamespacePair } from './network-namespace.js';
import type { Namespace, NamespacePair } from './network-namespace.js';
import type { Teardown } from './program.js';

const libc = loadLibc();

/** Sockets that this thread makes are then that namespace's, also after it has gone on. */
export function enter({ path }: Pick<Namespace, 'path'>): void {
  const fd = openSync(path, 'r');
  if (libc.enterNetworkNamespace(fd) !== 0) throw new Error(`cannot enter ${path}`);
  closeSync(fd);
}

/** With the link up. The thread goes home when the test ends. */
export function linkedNamespaces(t: Teardown): NamespacePair {
  const pair = createNamespacePair(t);
  bringUp(pair);
  const own = openSync('/proc/thread-self/ns/net', 'r');
  t.teardown(() => {
    libc.enterNetworkNamespace(own);
    closeSync(own);
  });
  return pair;
}
