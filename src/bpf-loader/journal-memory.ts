// Memory that outlives the process where there is a state directory: a BPF array that is pinned there and
// mapped into this process.
import { closeSync, existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openLibbpf } from './bpf-object.js';
import type { Libbpf } from './native/libbpf.js';
import { mapFlagsArgument } from './native/libbpf-pins.js';
import { mapShared } from './native/shared-memory.js';
import { readMapInfo } from './state/object-info.js';
import { kernelError, openPin, pin } from './state/pins.js';
import type { StateDirectory } from './state/state-directory.js';

export interface JournalMemory {
  readonly memory: Buffer;
  /** All of it is zero: nothing was left by another process. */
  readonly isNew: boolean;
  /** What another process left that had memory of another size. */
  readonly former?: Buffer;
  /** When `former` is no longer needed, not even by the next process. */
  readonly dropFormer: () => void;
}

const NAME = 'journal';
const FORMER = 'journal-former';
/** In a state directory. */
export const JOURNAL_FILES = [NAME, FORMER] as const;
const ARRAY = 2;
const BPF_F_MMAPABLE = 1 << 10;
const PAGE_OCTETS = 4096;

/**
 * @param state undefined: ordinary memory
 * @throws BpfError
 */
export function openJournalMemory(
  state: StateDirectory | undefined,
  octets: number,
): JournalMemory {
  if (state === undefined) {
    return { memory: Buffer.alloc(octets), isNew: true, dropFormer: () => undefined };
  }
  const libbpf = openLibbpf();
  const path = join(state.path, NAME);
  const formerPath = join(state.path, FORMER);
  const pages = Math.ceil(octets / PAGE_OCTETS);
  let found = openIfThere(libbpf, path);
  // One that is half taken over stays what it is, and that for which it makes place has nothing yet.
  if (found !== undefined && found.pages !== pages) {
    closeSync(found.fd);
    if (existsSync(formerPath)) rmSync(path);
    else renameSync(path, formerPath);
    found = undefined;
  }
  const fd = found?.fd ?? createPinned(libbpf, path, pages);
  try {
    const former = mapFormer(libbpf, formerPath);
    return {
      memory: mapShared(fd, pages * PAGE_OCTETS).subarray(0, octets),
      isNew: found === undefined,
      ...(former !== undefined && { former }),
      dropFormer: () => {
        rmSync(formerPath, { force: true });
      },
    };
  } finally {
    closeSync(fd);
  }
}

function openIfThere(
  libbpf: Libbpf,
  path: string,
): { readonly fd: number; readonly pages: number } | undefined {
  if (!existsSync(path)) return undefined;
  const fd = openPin(libbpf, path);
  return { fd, pages: readMapInfo(libbpf, fd).maxEntries };
}

function mapFormer(libbpf: Libbpf, path: string): Buffer | undefined {
  const found = openIfThere(libbpf, path);
  if (found === undefined) return undefined;
  try {
    return mapShared(found.fd, found.pages * PAGE_OCTETS);
  } finally {
    closeSync(found.fd);
  }
}

function createPinned(libbpf: Libbpf, path: string, pages: number): number {
  const options = mapFlagsArgument(BPF_F_MMAPABLE);
  const fd = libbpf.createMapWith(ARRAY, NAME, 4, PAGE_OCTETS, pages, options);
  if (fd < 0) throw kernelError(-fd, `make a journal of ${pages * PAGE_OCTETS} octets`);
  try {
    pin(libbpf, fd, path);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
