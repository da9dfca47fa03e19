// Timeouts of flows, in milliseconds.
import type { FlowTimeouts } from '../../src/flow/flow-timeouts.js';

/** All idle timeouts alike; a flow that goes on is never reported unless `maxlife` says so. */
export function timeoutsOf(idleMs: number, maxlife = Infinity): FlowTimeouts {
  const tcp = { tcp: idleMs, 'tcp.rst': idleMs, 'tcp.fin': idleMs };
  return { maxlife, general: idleMs, ...tcp, udp: idleMs, icmp: idleMs };
}

export const NEVER = timeoutsOf(Infinity);
