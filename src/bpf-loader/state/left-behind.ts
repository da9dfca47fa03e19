// What sessions that have ended left in the kernel: pins in state directories, and clsact filters. Finds it,
// and removes it.
import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { METER_SETTINGS } from '../../flow/flow-contract.gen.js';
import { BpfError } from '../bpf-error.js';
import { openLibbpf } from '../bpf-object.js';
import { JOURNAL_FILES } from '../journal-memory.js';
import type { Libbpf } from '../native/libbpf.js';
import { loadLibc } from '../native/libc.js';
import { openNetworkNamespace, type NetworkNamespace } from '../network-namespace.js';
import { FormerLoad, LOAD_FILES } from './former-load.js';
import { LINKS, loadNumbers, UNFINISHED } from './kept-state.js';
import { interfaceOfMark, isLeftBehind, removeClsact, removeLeftFilters } from './left-filters.js';
import { MARK } from './link-keeper.js';
import { readDescription } from './load-description.js';
import { namesIn, removePins } from './pins.js';
import { openStateDirectory } from './state-directory.js';

const BPF_FS = '/sys/fs/bpf';

/** It would tell on standard error of every filter that is not there. */
function quietLibbpf(): Libbpf {
  const libbpf = openLibbpf();
  libbpf.onPrint(() => undefined);
  return libbpf;
}

export interface RemovedState {
  readonly links: number;
  /** That were in the cache, and are lost. */
  readonly flows: number;
}

/**
 * Everything in a state directory, and the directory.
 * @param netns where its interfaces are: a name or a path; undefined: the current network namespace
 * @throws BpfError when there is none, or a session uses it
 */
export function removeState(path: string, netns: string | undefined): RemovedState {
  const state = openStateDirectory(path, { mustExist: true });
  try {
    const libbpf = quietLibbpf();
    const libc = loadLibc();
    const namespace = openNetworkNamespace(netns, libc);
    try {
      removeMarked(libbpf, path, namespace);
    } finally {
      namespace.close();
    }
    const links = namesIn(join(path, LINKS)).length;
    removePins(join(path, LINKS));
    const flows = remainingFlows(libbpf, path);
    for (const name of [...loadNumbers(path).map(String), UNFINISHED]) removePins(join(path, name));
    for (const name of JOURNAL_FILES) rmSync(join(path, name), { force: true });
    if (readdirSync(path).length === 0) rmdirSync(path);
    return { links, flows };
  } finally {
    state.close();
  }
}

/** clsact qdiscs that were made by sessions of this state directory. */
function removeMarked(libbpf: Libbpf, path: string, namespace: NetworkNamespace): void {
  const links = join(path, LINKS);
  const marks = namesIn(links).filter((name) => name.startsWith(MARK));
  const last = loadNumbers(path).at(-1);
  if (marks.length === 0 || last === undefined) return;
  const description = readDescription(libbpf, join(path, String(last), LOAD_FILES.description));
  const inode = Buffer.from(description.settings, 'hex').readUInt32LE(
    METER_SETTINGS.fields.netns.offset,
  );
  if (inode !== namespace.inode) {
    const advice = `its clsact filters are in network namespace ${inode} (lsns -t net): give it with --netns`;
    throw new BpfError('EXDEV', `detach what is kept in ${path}`, advice);
  }
  namespace.run(() => {
    for (const mark of marks) {
      const ifindex = interfaceOfMark(mark.slice(MARK.length));
      if (ifindex === undefined) continue;
      removeLeftFilters(libbpf, ifindex, `number ${ifindex}`);
      removeClsact(libbpf, ifindex);
      rmdirSync(join(links, mark));
    }
  });
}

/** 0 where a version left them that is not understood. */
function remainingFlows(libbpf: Libbpf, path: string): number {
  const last = loadNumbers(path).at(-1);
  if (last === undefined) return 0;
  try {
    return new FormerLoad(libbpf, join(path, String(last)), last).flowCount();
  } catch (error) {
    if (error instanceof BpfError) return 0;
    throw error;
  }
}

/**
 * clsact filters of no session that runs, at the interfaces of a network namespace.
 * @returns names of the interfaces
 * @throws BpfError
 */
export function removeFilters(netns: string | undefined): string[] {
  const libbpf = quietLibbpf();
  return eachInterface(netns, (index, name) => removeLeftFilters(libbpf, index, name));
}

/** As removeFilters, but only looks. */
export function findLeftFilters(netns?: string): string[] {
  const libbpf = quietLibbpf();
  return eachInterface(netns, (index, name) => isLeftBehind(libbpf, index, name));
}

function eachInterface(
  netns: string | undefined,
  isWanted: (index: number, name: string) => boolean,
): string[] {
  const libc = loadLibc();
  const namespace = openNetworkNamespace(netns, libc);
  try {
    return namespace.run(() =>
      [...libc.interfaces()]
        .filter(([index, name]) => isWanted(index, name))
        .map(([, name]) => name),
    );
  } finally {
    namespace.close();
  }
}

/** State directories at their usual place that no session uses. */
export function findLeftState(): string[] {
  if (!existsSync(BPF_FS)) return [];
  return readdirSync(BPF_FS)
    .map((name) => join(BPF_FS, name))
    .filter((path) => isStateDirectory(path) && !isUsed(path));
}

function isStateDirectory(path: string): boolean {
  return (
    statSync(path).isDirectory() && namesIn(path).includes(LINKS) && loadNumbers(path).length > 0
  );
}

function isUsed(path: string): boolean {
  try {
    openStateDirectory(path, { mustExist: true }).close();
    return false;
  } catch (error) {
    if (error instanceof BpfError) return true;
    throw error;
  }
}
