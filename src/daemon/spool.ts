// Where messages for TCP and TLS collectors are kept over an outage and a restart: a file for each of them.
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError } from '../bpf-loader/bpf-error.js';
import { openMappedFile, type MappedFile } from '../bpf-loader/mapped-file.js';
import { DurableMemory } from '../exporter/durable/durable-memory.js';
import {
  LEAST_QUEUE_OCTETS,
  MessageQueue,
  type BatchCommit,
  type OpenQueue,
} from '../exporter/durable/message-queue.js';
import { ExportError } from '../exporter/export-error.js';
import { addressText, type CollectorAddress } from './collector-address.js';
import { ConfigError } from './config-error.js';
import { readOctets } from './quantities.js';

export interface SpoolConfig {
  readonly directory: string;
  /** Of the file of each collector. */
  readonly octets: number;
}

export const DEFAULT_SPOOL_SIZE = '256M';
/** What Node can have in one piece, but for a page. */
const MOST_OCTETS = 2 ** 32 - 4096;
const PAGE_OCTETS = 4096;

/** @throws ConfigError */
export function readSpool(
  directory: string | undefined,
  size: string | undefined,
): SpoolConfig | undefined {
  if (directory === undefined) {
    if (size === undefined) return undefined;
    throw new ConfigError(`--spool-size ${size}`, 'there is no spool', 'give --spool DIRECTORY');
  }
  const text = size ?? DEFAULT_SPOOL_SIZE;
  const least = Math.max(2 ** 20, LEAST_QUEUE_OCTETS);
  const octets = readOctets(`--spool-size ${text}`, text, least, MOST_OCTETS);
  return { directory, octets: Math.ceil(octets / PAGE_OCTETS) * PAGE_OCTETS };
}

/** Over others nothing waits for a collector that is away, or there is none. */
export function isSpooled({ scheme }: CollectorAddress): boolean {
  return scheme === 'tcp' || scheme === 'tls';
}

interface SpoolOptions extends SpoolConfig {
  readonly address: CollectorAddress;
  readonly fingerprint: Buffer;
  readonly commit?: BatchCommit | undefined;
  readonly onNotice: (line: string) => void;
}

/**
 * A file that cannot be understood is moved aside, and another one made.
 * @throws ConfigError when there is no room for it, when another process has it, and the like
 */
export function openSpool(options: SpoolOptions): OpenQueue {
  const { directory, octets, address, onNotice } = options;
  const name = addressText(address).replaceAll(/[^\w.-]+/g, '-');
  const path = join(directory, `${name}.spool`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const spool = open(path, options);
    if (spool.octets === octets) return spool;
    if (spool.queue.left.length > 0) {
      onNotice(`${path} keeps its size of ${spool.octets} octets: there are messages in it`);
      return spool;
    }
    rmSync(path);
    spool.close();
    return open(path, options);
  } catch (error) {
    throw asConfigError(path, error);
  }
}

function open(path: string, options: SpoolOptions): OpenQueue & { readonly octets: number } {
  const { octets, fingerprint, commit, onNotice } = options;
  for (;;) {
    const file = openMappedFile(path, octets);
    try {
      const queue = new MessageQueue(new DurableMemory(file.bytes), fingerprint, commit);
      return { queue, octets: file.bytes.length, close: file.close };
    } catch (error) {
      if (!(error instanceof ExportError)) throw error;
      onNotice(`${path}: ${error.message}; it is now ${moveAside(path, file)}`);
    }
  }
}

/** Before it is closed: who waits for its lock must not get it. */
function moveAside(path: string, file: MappedFile): string {
  for (let n = 0; ; n++) {
    const aside = `${path}.${n}`;
    if (existsSync(aside)) continue;
    renameSync(path, aside);
    file.close();
    return aside;
  }
}

function asConfigError(path: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code === undefined || error instanceof ConfigError) return error;
  const reason = error instanceof BpfError ? error.message : `${path}: ${code}`;
  const advice =
    code === 'EBUSY'
      ? 'give each its own directory'
      : 'it must be a directory that this user can write to, on a disk with room for --spool-size';
  return new ConfigError('--spool', reason, advice);
}
