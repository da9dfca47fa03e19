// TCP connections of this machine as /proc/net/tcp has them.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isWaiting } from './udp-receivers.js';

const PATIENCE = 4000;
const PAUSE_MS = 5;

/** Octets that are on their way between the two ends of connections with a port of 127.0.0.1. */
export function octetsOnTheWay(port: number): number {
  const end = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let octets = 0;
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    // "sl local_address rem_address st tx_queue:rx_queue", see proc(5)
    const [, local, remote, state, queues = '0:0'] = line.trim().split(/\s+/);
    const isListening = state === '0A';
    if (isListening || (local !== end && remote !== end)) continue;
    for (const queue of queues.split(':')) octets += parseInt(queue, 16);
  }
  return octets;
}

/** Waits until the process on that port has received all that was sent, and worked on it. */
export async function idleTcpReceiver(port: number, pid: number): Promise<void> {
  for (let attempt = 0; attempt < PATIENCE; attempt++) {
    const isIdle = (): boolean => octetsOnTheWay(port) === 0 && isWaiting(pid);
    if (isIdle()) {
      await delay(PAUSE_MS);
      if (isIdle()) return;
    }
    await delay(PAUSE_MS);
  }
  throw new Error(`${octetsOnTheWay(port)} octets stay on their way to port ${port}`);
}
