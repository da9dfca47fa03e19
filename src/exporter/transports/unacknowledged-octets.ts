// What the peer's kernel has not acknowledged of a TCP connection, as /proc/net/tcp tells it. Node
// knows only what it handed to its own kernel, and that may never arrive.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { endianness } from 'node:os';

export interface ConnectionEnds {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

export interface SendQueue {
  /** Octets, or undefined when there is no such connection, or no /proc. */
  readonly octets: () => Promise<number | undefined>;
  /** The same at once: for the moment when the connection is about to be gone. */
  readonly octetsNow: () => number | undefined;
}

export function sendQueueOf(ends: ConnectionEnds): SendQueue {
  const path = isIP(ends.localAddress) === 6 ? '/proc/self/net/tcp6' : '/proc/self/net/tcp';
  const local = procAddress(ends.localAddress, ends.localPort);
  const remote = procAddress(ends.remoteAddress, ends.remotePort);
  // "sl: local remote st tx_queue:rx_queue", all in hexadecimal: see proc(5)
  const entry = `: ${local} ${remote} `;
  const find = (table: string): number | undefined => {
    const start = table.indexOf(entry);
    if (start < 0) return undefined;
    const queue = start + entry.length + '01 '.length;
    return parseInt(table.slice(queue, queue + 8), 16);
  };
  return {
    octets: async () => find(await readFile(path, 'latin1').catch(() => '')),
    octetsNow: () => {
      try {
        return find(readFileSync(path, 'latin1'));
      } catch {
        return undefined;
      }
    },
  };
}

/** Words of 32 bits as this host reads them, "0100007F:115C". */
export function procAddress(address: string, port: number): string {
  const bytes = isIP(address) === 6 ? ipv6Bytes(address) : ipv4Bytes(address);
  const buffer = Buffer.from(bytes);
  if (endianness() === 'LE') buffer.swap32();
  const hexPort = port.toString(16).padStart(4, '0');
  return `${buffer.toString('hex')}:${hexPort}`.toUpperCase();
}

function ipv4Bytes(address: string): number[] {
  return address.split('.').map(Number);
}

function ipv6Bytes(address: string): number[] {
  const [plain = ''] = address.split('%');
  const [head = [], tail] = plain.split('::').map(groupBytes);
  if (tail === undefined) return [...head];
  const zeros = Array<number>(16 - head.length - tail.length).fill(0);
  return [...head, ...zeros, ...tail];
}

/** "2001:db8" or "ffff:192.0.2.1" */
function groupBytes(groups: string): number[] {
  if (groups === '') return [];
  return groups.split(':').flatMap((group) => {
    if (group.includes('.')) return ipv4Bytes(group);
    const value = parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
