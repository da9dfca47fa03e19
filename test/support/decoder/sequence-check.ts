// What the sequence numbers say of lost messages. Each format counts something else: IPFIX data
// records, options data too (RFC 7011 §3.1), v9 messages (RFC 3954 §5.1), v5 flows; v1 nothing.
import type { DecodedMessage } from './decoded-message.js';

const MODULUS = 2 ** 32;
/** Domains beyond are begun anew, those first that were not heard of for longest. */
const MAX_DOMAINS = 10_000;

export interface SequenceGap {
  readonly version: number;
  readonly observationDomainId: number;
  readonly expected: number;
  readonly sequenceNumber: number;
  /** Records, messages or flows that did not come; negative when one came late or twice. */
  readonly missing: number;
}

/** One check for all senders. */
export class SequenceCheck {
  /** By sender, version and domain: the next number; undefined where it cannot be known. */
  readonly #expected = new Map<string, number | undefined>();

  /** @returns the gap before this message, if there is one */
  check(message: DecodedMessage, sender = ''): SequenceGap | undefined {
    const { version, observationDomainId, sequenceNumber } = message;
    if (version === 1) return undefined;
    const key = `${version}/${observationDomainId}/${sender}`;
    const expected = this.#expected.get(key);
    this.#expected.delete(key);
    this.#expected.set(key, nextNumber(message));
    const [oldest] = this.#expected.keys();
    if (this.#expected.size > MAX_DOMAINS && oldest !== undefined) this.#expected.delete(oldest);
    if (expected === undefined || expected === sequenceNumber) return undefined;
    const ahead = (sequenceNumber - expected + MODULUS) % MODULUS;
    const missing = ahead < MODULUS / 2 ? ahead : ahead - MODULUS;
    return { version, observationDomainId, expected, sequenceNumber, missing };
  }
}

/** The gaps in one sender's messages. */
export function sequenceGaps(messages: Iterable<DecodedMessage>): SequenceGap[] {
  const check = new SequenceCheck();
  return [...messages].flatMap((message) => check.check(message) ?? []);
}

function nextNumber(message: DecodedMessage): number | undefined {
  const { version, sequenceNumber, records, unknownSets } = message;
  if (version === 9) return (sequenceNumber + 1) % MODULUS;
  // How many records a set has that no template describes, nobody knows.
  if (unknownSets.some(({ reason }) => reason === 'no-template')) return undefined;
  return (sequenceNumber + records.length) % MODULUS;
}
