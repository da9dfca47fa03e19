// What expired flows were like, as softflowd's statistics tell it: why they ended, how large they were
// and how long they lived.
import { FLOW_END_REASON } from '../flow/flow-contract.gen.js';
import type { FlowRecord } from '../flow/flow-record.js';

/** softflowd's words: the timeout that ended the flow, the cache's limit, or somebody's order. */
export const EXPIRY_REASONS = [
  ...(['tcp', 'tcp.rst', 'tcp.fin', 'udp', 'icmp', 'general'] as const),
  ...(['maxlife', 'maxflows', 'flushed'] as const),
] as const;

export type ExpiryReason = (typeof EXPIRY_REASONS)[number];

export interface Extent {
  readonly least: number;
  readonly average: number;
  readonly most: number;
}

export interface ProtocolStatistics {
  readonly protocol: number;
  readonly flows: number;
  readonly octets: number;
  readonly packets: number;
  readonly averageLifeS: number;
  readonly longestLifeS: number;
}

export interface FlowStatisticsSummary {
  readonly flows: number;
  /** How many flows ended for each of EXPIRY_REASONS. */
  readonly reasons: Readonly<Record<ExpiryReason, number>>;
  /** Undefined while there is no flow. */
  readonly octets: Extent | undefined;
  readonly packets: Extent | undefined;
  readonly durationS: Extent | undefined;
  readonly protocols: readonly ProtocolStatistics[];
}

const TCP_RST = 4;
const PROTOCOLS = 256;
const NS_PER_SECOND = 1e9;

class ExtentCount {
  #least = Infinity;
  #most = -Infinity;
  #sum = 0;

  add(value: number): void {
    if (value < this.#least) this.#least = value;
    if (value > this.#most) this.#most = value;
    this.#sum += value;
  }

  extent(count: number, unit = 1): Extent | undefined {
    if (count === 0) return undefined;
    const average = this.#sum / count / unit;
    return { least: this.#least / unit, average, most: this.#most / unit };
  }
}

export class FlowStatistics {
  readonly #octets = new ExtentCount();
  readonly #packets = new ExtentCount();
  readonly #durationNs = new ExtentCount();
  readonly #reasons = Object.fromEntries(EXPIRY_REASONS.map((reason) => [reason, 0])) as Record<
    ExpiryReason,
    number
  >;
  // By protocol number.
  readonly #flowsOf = new Float64Array(PROTOCOLS);
  readonly #octetsOf = new Float64Array(PROTOCOLS);
  readonly #packetsOf = new Float64Array(PROTOCOLS);
  readonly #lifeNsOf = new Float64Array(PROTOCOLS);
  readonly #longestNsOf = new Float64Array(PROTOCOLS);
  #flows = 0;

  add(record: FlowRecord): void {
    const { packets, octets, protocol } = record;
    const durationNs = Math.max(0, record.last - record.first);
    this.#flows++;
    this.#octets.add(octets);
    this.#packets.add(packets);
    this.#durationNs.add(durationNs);
    this.#reasons[expiryReason(record)]++;
    add(this.#flowsOf, protocol, 1);
    add(this.#octetsOf, protocol, octets);
    add(this.#packetsOf, protocol, packets);
    add(this.#lifeNsOf, protocol, durationNs);
    const longest = this.#longestNsOf[protocol] ?? 0;
    if (durationNs > longest) this.#longestNsOf[protocol] = durationNs;
  }

  summary(): FlowStatisticsSummary {
    const flows = this.#flows;
    return {
      flows,
      reasons: { ...this.#reasons },
      octets: this.#octets.extent(flows),
      packets: this.#packets.extent(flows),
      durationS: this.#durationNs.extent(flows, NS_PER_SECOND),
      protocols: this.#protocols(),
    };
  }

  #protocols(): ProtocolStatistics[] {
    const found: ProtocolStatistics[] = [];
    for (const [protocol, flows] of this.#flowsOf.entries()) {
      if (flows === 0) continue;
      found.push({
        protocol,
        flows,
        octets: this.#octetsOf[protocol] ?? 0,
        packets: this.#packetsOf[protocol] ?? 0,
        averageLifeS: (this.#lifeNsOf[protocol] ?? 0) / flows / NS_PER_SECOND,
        longestLifeS: (this.#longestNsOf[protocol] ?? 0) / NS_PER_SECOND,
      });
    }
    return found;
  }
}

function add(sums: Float64Array, at: number, value: number): void {
  sums[at] = (sums[at] ?? 0) + value;
}

function expiryReason(record: FlowRecord): ExpiryReason {
  switch (record.endReason) {
    case FLOW_END_REASON.FLOW_END_ACTIVE_TIMEOUT:
      return 'maxlife';
    case FLOW_END_REASON.FLOW_END_DETECTED:
      return (record.tcpFlags & TCP_RST) === 0 ? 'tcp.fin' : 'tcp.rst';
    case FLOW_END_REASON.FLOW_END_FORCED:
      return 'flushed';
    case FLOW_END_REASON.FLOW_END_LACK_OF_RESOURCES:
      return 'maxflows';
    default:
      return idleReason(record.protocol);
  }
}

function idleReason(protocol: number): ExpiryReason {
  switch (protocol) {
    case 6:
      return 'tcp';
    case 17:
      return 'udp';
    case 1:
    case 58:
      return 'icmp';
    default:
      return 'general';
  }
}
