// Who began a connection: as its records tell, and as it was when earlier ones of them went out. A
// connection that lives on is told of once an active timeout, and its beginning once.
import { kernelNs } from '../../flow/clock.js';
import { FLOW_END_REASON, FLOW_RECORD } from '../../flow/flow-contract.gen.js';
import { BIFLOW_ENTRY } from '../../templates/biflow-entry.js';
import { TCP, isIcmp, type Side } from './connection-key.js';

interface Remembered {
  readonly initiator: Side;
  /** Of the packets seen so far. */
  readonly firstNs: number;
  readonly lastNs: number;
}

const F = FLOW_RECORD.fields;
const SYN = 2;
const ACK = 16;
/** The one that asks is the first of the key. */
const REQUESTER = 0;
/** Without a connection's end in its packets, so long a silence is one (RFC 4787 §4.3). */
const MAX_SILENCE_NS = 300e9;

export class ConnectionInitiators {
  readonly #limit: number;
  // Two, so that the older half goes at once instead of searching the oldest one.
  #recent = new Map<string, Remembered>();
  #older = new Map<string, Remembered>();

  /** @param limit the most connections that are remembered */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * @param entry as laid out by BIFLOW_ENTRY, in whatever order the two directions are
   * @param side of the first record
   * @returns the side that began; undefined where nothing tells
   */
  find(key: string, side: Side, entry: Buffer, at: number, hasReverse: boolean): Side | undefined {
    const protocol = entry[at + F.protocol.offset] ?? 0;
    if (isIcmp(protocol)) return REQUESTER;
    const known = this.#recent.get(key) ?? this.#older.get(key);
    const initiator =
      protocol === TCP
        ? (tcpInitiator(side, entry, at, hasReverse) ?? known?.initiator)
        : firstSender(side, entry, at, hasReverse, known);
    if (mayGoOn(entry, at, hasReverse)) {
      if (initiator !== undefined) this.#remember(key, initiator, entry, at, hasReverse, known);
    } else if (known !== undefined) {
      this.#recent.delete(key);
      this.#older.delete(key);
    }
    return initiator;
  }

  #remember(
    key: string,
    initiator: Side,
    entry: Buffer,
    at: number,
    hasReverse: boolean,
    known: Remembered | undefined,
  ): void {
    let firstNs = Math.min(first(entry, at), known?.firstNs ?? Infinity);
    let lastNs = Math.max(last(entry, at), known?.lastNs ?? 0);
    if (hasReverse) {
      firstNs = Math.min(firstNs, first(entry, at + BIFLOW_ENTRY.reverse));
      lastNs = Math.max(lastNs, last(entry, at + BIFLOW_ENTRY.reverse));
    }
    this.#recent.set(key, { initiator, firstNs, lastNs });
    if (this.#recent.size * 2 < this.#limit) return;
    this.#older = this.#recent;
    this.#recent = new Map();
  }
}

/** By the SYN that has no ACK, or by whose SYN came first: an answer has both flags. */
function tcpInitiator(
  side: Side,
  entry: Buffer,
  at: number,
  hasReverse: boolean,
): Side | undefined {
  const flags = tcpFlags(entry, at);
  const reverseFlags = hasReverse ? tcpFlags(entry, at + BIFLOW_ENTRY.reverse) : 0;
  if ((flags & reverseFlags & SYN) !== 0) return firstSender(side, entry, at, true, undefined);
  if ((flags & (SYN | ACK)) === SYN) return side;
  return (reverseFlags & (SYN | ACK)) === SYN ? other(side) : undefined;
}

/** Whose first packet came before the other's. */
function firstSender(
  side: Side,
  entry: Buffer,
  at: number,
  hasReverse: boolean,
  known: Remembered | undefined,
): Side | undefined {
  const firstNs = first(entry, at);
  const reverseNs = hasReverse ? first(entry, at + BIFLOW_ENTRY.reverse) : Infinity;
  const earlierNs = Math.min(firstNs, reverseNs);
  if (known !== undefined && earlierNs - known.lastNs <= MAX_SILENCE_NS) {
    if (known.firstNs <= earlierNs) return known.initiator;
  }
  if (firstNs === reverseNs) return undefined;
  return firstNs < reverseNs ? side : other(side);
}

/** Whether more can come of the connection: it is only told of so far, or one direction is not there. */
function mayGoOn(entry: Buffer, at: number, hasReverse: boolean): boolean {
  if (isInterim(entry, at)) return true;
  if (hasReverse) return isInterim(entry, at + BIFLOW_ENTRY.reverse);
  // Not what was never answered: a port scan would drive everything else out.
  return entry[at + F.protocol.offset] !== TCP || (tcpFlags(entry, at) & (SYN | ACK)) !== SYN;
}

/** A flow that found no place in the kernel's cache may go on too. */
function isInterim(record: Buffer, at: number): boolean {
  const reason = record[at + F.end_reason.offset];
  const { FLOW_END_ACTIVE_TIMEOUT, FLOW_END_LACK_OF_RESOURCES } = FLOW_END_REASON;
  return reason === FLOW_END_ACTIVE_TIMEOUT || reason === FLOW_END_LACK_OF_RESOURCES;
}

function tcpFlags(record: Buffer, at: number): number {
  return record[at + F.tcp_flags.offset] ?? 0;
}

function first(record: Buffer, at: number): number {
  return kernelNs(record, at + F.first_ns.offset);
}

function last(record: Buffer, at: number): number {
  return kernelNs(record, at + F.last_ns.offset);
}

export function other(side: Side): Side {
  return side === 0 ? 1 : 0;
}
