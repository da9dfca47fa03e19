// UDP receivers of this machine as /proc/net/udp has them.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const PATIENCE = 2000;
const PAUSE_MS = 5;

export interface UdpReceiver {
  /** Octets that wait to be read. */
  readonly queueOctets: number;
  /** Datagrams that found no place in the queue. */
  readonly drops: number;
}

/**
 * The socket on a port of 127.0.0.1.
 * @param pid a process in the network namespace
 */
export function udpReceiver(port: number, pid: number | 'self' = 'self'): UdpReceiver | undefined {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of readFileSync(`/proc/${pid}/net/udp`, 'utf8').split('\n')) {
    const cells = line.trim().split(/\s+/);
    if (cells[1] !== address) continue;
    const queue = cells[4]?.split(':')[1] ?? '0';
    return { queueOctets: parseInt(queue, 16), drops: Number(cells.at(-1)) };
  }
  return undefined;
}

/** Waits until something receives on the port and has read all that came; throws if it never does. */
export async function emptiedUdpReceiver(
  port: number,
  pid: number | 'self' = 'self',
): Promise<UdpReceiver> {
  for (let attempt = 0; attempt < PATIENCE; attempt++) {
    const receiver = udpReceiver(port, pid);
    if (receiver?.queueOctets === 0) return receiver;
    await delay(PAUSE_MS);
  }
  throw new Error(
    `port ${port} of 127.0.0.1: ${JSON.stringify(udpReceiver(port, pid) ?? 'unused')}`,
  );
}

/**
 * Waits until the process on that port has not only read all that came but worked on it, it and its
 * children: they wait again. A signal in between would make them forget what they hold.
 */
export async function idleUdpReceiver(port: number, pid: number): Promise<void> {
  for (let attempt = 0; attempt < PATIENCE; attempt++) {
    await emptiedUdpReceiver(port);
    const areWaiting = [pid, ...childrenOf(pid)].every(isWaiting);
    if (areWaiting && udpReceiver(port)?.queueOctets === 0) return;
    await delay(PAUSE_MS);
  }
  throw new Error(`process ${pid} never waits`);
}

export function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** The process does nothing. */
export function isWaiting(pid: number): boolean {
  // The state follows the name, which stands in parentheses.
  return /\) S [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}
