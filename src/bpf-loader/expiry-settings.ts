// struct expiry_settings, which a sweep reads: what it shall take out of the flow cache.
import { EXPIRY_SETTINGS, IDLE_TIMEOUT, SWEEP_SCOPE } from '../flow/flow-contract.gen.js';
import type { FlowTimeouts } from '../flow/flow-timeouts.js';

type IdleTimeoutName = Exclude<keyof FlowTimeouts, 'maxlife'>;

const IDLE_TIMEOUTS: Readonly<Record<IdleTimeoutName, number>> = {
  general: IDLE_TIMEOUT.IDLE_GENERAL,
  tcp: IDLE_TIMEOUT.IDLE_TCP,
  'tcp.rst': IDLE_TIMEOUT.IDLE_TCP_RST,
  'tcp.fin': IDLE_TIMEOUT.IDLE_TCP_FIN,
  udp: IDLE_TIMEOUT.IDLE_UDP,
  icmp: IDLE_TIMEOUT.IDLE_ICMP,
};

const SCOPES = {
  expired: SWEEP_SCOPE.SWEEP_EXPIRED,
  all: SWEEP_SCOPE.SWEEP_ALL,
  peek: SWEEP_SCOPE.SWEEP_PEEK,
  'last seen': SWEEP_SCOPE.SWEEP_LAST_SEEN,
} as const;

const NEVER_NS = 2n ** 64n - 1n;

export interface ExpirySettings {
  readonly scope: keyof typeof SCOPES;
  readonly timeouts: FlowTimeouts;
  /** Default: the kernel's clock (CLOCK_BOOTTIME). */
  readonly nowNs?: bigint | undefined;
  /** Flows that are silent since then end for lack of resources; default: none. */
  readonly earlyUntilNs?: bigint | undefined;
}

export function expirySettingsBytes(settings: ExpirySettings): Buffer {
  const { fields, size } = EXPIRY_SETTINGS;
  const { timeouts } = settings;
  const bytes = Buffer.alloc(size);
  bytes.writeBigUInt64LE(settings.nowNs ?? 0n, fields.now_ns.offset);
  bytes.writeBigUInt64LE(nanoseconds(timeouts.maxlife), fields.active_timeout_ns.offset);
  for (const [name, index] of Object.entries(IDLE_TIMEOUTS)) {
    const value = nanoseconds(timeouts[name as IdleTimeoutName]);
    bytes.writeBigUInt64LE(value, fields.idle_timeout_ns.offset + 8 * index);
  }
  bytes.writeBigUInt64LE(settings.earlyUntilNs ?? 0n, fields.early_until_ns.offset);
  bytes.writeUInt32LE(SCOPES[settings.scope], fields.scope.offset);
  return bytes;
}

function nanoseconds(ms: number): bigint {
  return Number.isFinite(ms) ? BigInt(Math.round(ms * 1e6)) : NEVER_NS;
}
