// Pins: names in a BPF file system, which keep maps, programs and links alive.
import { closeSync, existsSync, lstatSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { adviceFor } from '../advice.js';
import { BpfError } from '../bpf-error.js';
import type { Libbpf } from '../native/libbpf.js';

/** @throws BpfError */
export function pin(libbpf: Libbpf, fd: number, path: string): void {
  const result = libbpf.pin(fd, path);
  if (result < 0) throw kernelError(-result, `pin ${path}`);
}

/** @throws BpfError */
export function openPin(libbpf: Libbpf, path: string): number {
  const fd = libbpf.openPinned(path);
  if (fd < 0) throw kernelError(-fd, `open the pinned ${path}`);
  return fd;
}

/** Opens it for the time of a call. @throws BpfError */
export function withPin<Result>(libbpf: Libbpf, path: string, use: (fd: number) => Result): Result {
  const fd = openPin(libbpf, path);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names in a directory; none where there is no directory. */
export function namesIn(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path).sort() : [];
}

/** The directory and all that is pinned in it. Not rmSync's recursion, which wants to know inodes' links. */
export function removePins(path: string): void {
  for (const name of namesIn(path)) {
    const at = join(path, name);
    if (lstatSync(at).isDirectory()) removePins(at);
    else rmSync(at);
  }
  if (existsSync(path)) rmdirSync(path);
}

export function kernelError(errno: number, operation: string): BpfError {
  const code = getSystemErrorName(-errno);
  return new BpfError(code, operation, adviceFor(code, []));
}
