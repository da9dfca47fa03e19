// The receive queue of a UDP collector on this host. UDP has no flow control, but here the exporter can
// see how full the queue is, and wait before it overflows.
import { closeSync, openSync, readSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/*
 * A socket's buffer has 212,992 octets unless someone chose otherwise, and a message is charged 2304 of
 * them. A collector that falls behind by 64 KiB is waited for: it keeps room for twice what is sent
 * between two looks.
 */
const CHECK_INTERVAL_MESSAGES = 24;
const FULL_QUEUE_OCTETS = 65_536;
const POLL_MS = 2;
/** One that stands still for longer is not waited for again until it has read. */
const PATIENCE_MS = 500;

/** Sockets of both families: one of IPv6 may receive IPv4 too. */
const TABLES: readonly string[] = ['/proc/net/udp', '/proc/net/udp6'];

/** The kernel gives whole lines: where another would have had room, there is none. */
const TABLE_PART = Buffer.alloc(4096);
const LINE_OCTETS = 256;

export interface LocalReceiverOptions {
  readonly port: number;
  /** Stands in for the system's tables in tests. */
  readonly readTable?: (path: string) => string;
  readonly patienceMs?: number;
}

export class LocalReceiver {
  readonly #options: LocalReceiverOptions;
  readonly #entry: RegExp;
  /** Those that have the socket; all of them while it is not found. */
  #tables = TABLES;
  /** Messages until the next look. */
  #left = CHECK_INTERVAL_MESSAGES - 1;
  #isGivenUp = false;

  #isSeen = false;

  constructor(options: LocalReceiverOptions) {
    this.#options = options;
    const port = options.port.toString(16).toUpperCase().padStart(4, '0');
    // "0: 0100007F:270B 00000000:0000 07 00000000:00000900", see proc(5); connected sockets are not it.
    this.#entry = new RegExp(
      `^ *\\d+: [0-9A-F]+:${port} [0-9A-F]+:0000 \\w+ [0-9A-F]+:([0-9A-F]+)`,
      'gm',
    );
  }

  /** Whether it is known how full its queue is, and waited for; from the first look on. */
  get isAwaited(): boolean {
    return this.#isSeen && !this.#isGivenUp;
  }

  /** To be called before messages are sent; resolves to how many of them may go. */
  async awaitRoom(most = 1): Promise<number> {
    if (this.#left === 0) {
      await this.#awaitRoom();
      this.#left = CHECK_INTERVAL_MESSAGES;
    }
    const granted = Math.min(most, this.#left);
    this.#left -= granted;
    return granted;
  }

  async #awaitRoom(): Promise<void> {
    const { patienceMs = PATIENCE_MS } = this.#options;
    const begunMs = performance.now();
    while (this.#queuedOctets() > FULL_QUEUE_OCTETS) {
      if (this.#isGivenUp || performance.now() - begunMs > patienceMs) {
        this.#isGivenUp = true;
        return;
      }
      await sleep(POLL_MS);
    }
    this.#isGivenUp = false;
  }

  /** Of the fullest queue on the port; 0 where nothing is known. */
  #queuedOctets(): number {
    const { readTable = readSystemTable } = this.#options;
    let fullest = 0;
    const found: string[] = [];
    for (const path of this.#tables) {
      for (const [, queue = '0'] of readTable(path).matchAll(this.#entry)) {
        fullest = Math.max(fullest, parseInt(queue, 16));
        found.push(path);
      }
    }
    this.#isSeen = found.length > 0;
    this.#tables = found.length === 0 ? TABLES : [...new Set(found)];
    return fullest;
  }
}

/** Of the network namespace that the exporter sends from. */
export function isOwnAddress(address: string): boolean {
  if (address.startsWith('127.')) return true;
  const own = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  return own.some((entry) => entry.address === address);
}

/** A kernel without IPv6 has no table of it. */
function readSystemTable(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return '';
  }
  // Not by readFileSync, which takes four times as long: this is asked for thousands of times a second.
  try {
    let table = '';
    for (;;) {
      const octets = readSync(fd, TABLE_PART);
      table += TABLE_PART.toString('latin1', 0, octets);
      if (octets + LINE_OCTETS < TABLE_PART.length) return table;
    }
  } finally {
    closeSync(fd);
  }
}
