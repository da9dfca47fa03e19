// A collector's decoder of NetFlow v1, v5, v9 and IPFIX messages, written from RFC 7011, RFC 3954
// and Cisco's description of v1 and v5. It shares nothing with the encoder, tables neither.
import { DecodeError } from './decode-error.js';
import type { DecodedMessage } from './decoded-message.js';
import { readFixedMessage } from './fixed-message.js';
import { OctetCursor } from './octet-cursor.js';
import { TEMPLATE_LIMITS, TemplateMemory, type TemplateLimits } from './template-memory.js';
import { readIpfixHeader, readNetflowV9Header, readSets } from './templated-message.js';

export interface DecoderOptions {
  /** What the standard forbids is an error, also where a collector can live with it. */
  readonly isStrict?: boolean;
  /** TCP, TLS or files instead of UDP: templates last until they are withdrawn. */
  readonly isStream?: boolean;
  readonly limits?: TemplateLimits;
}

/**
 * Remembers templates per sender, version and observation domain. Any octets give a message or a
 * DecodeError; a message that gives an error has changed nothing.
 */
export class MessageDecoder {
  readonly #isStrict: boolean;
  readonly #isStream: boolean;
  readonly #memory: TemplateMemory;

  constructor({ isStrict = false, isStream = false, limits }: DecoderOptions = {}) {
    this.#isStrict = isStrict;
    this.#isStream = isStream;
    this.#memory = new TemplateMemory(limits ?? TEMPLATE_LIMITS);
  }

  /** Observation domains whose templates were forgotten for want of room. */
  get evictedDomains(): number {
    return this.#memory.evictedDomains;
  }

  /**
   * @param message one datagram, or one message of a stream (message-splitter.ts); the result has views on it
   * @param sender the transport session: address and port, or a name for the connection
   * @throws DecodeError
   */
  decode(message: Buffer, sender = ''): DecodedMessage {
    const cursor = new OctetCursor(message);
    const mode = { isStrict: this.#isStrict, isStream: this.#isStream };
    const version = new OctetCursor(message).u16('the version');
    if (version === 1 || version === 5) return readFixedMessage(version, cursor, mode);
    if (version !== 9 && version !== 10) {
      const reason = `${version} is none of 1, 5, 9 and 10`;
      throw new DecodeError('unknown-version', 0, 'read the version', reason);
    }
    const header = version === 9 ? readNetflowV9Header(cursor) : readIpfixHeader(cursor);
    const key = `${version}/${header.observationDomainId}/${sender}`;
    const templates = this.#memory.open(key);
    const decoded = readSets(header, cursor, templates, mode);
    this.#memory.keep(key, sender, templates);
    return decoded;
  }

  /** The sender's transport session is over, and its templates with it. */
  endSession(sender: string): void {
    this.#memory.forget(sender);
  }
}
