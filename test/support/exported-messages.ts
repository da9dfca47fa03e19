// What the exporter has sent, as the strictest collector reads it.
import type { DecodedMessage, DecodedRecord } from './decoder/decoded-message.js';
import { MessageDecoder } from './decoder/message-decoder.js';

/**
 * Messages of one transport session, in order. Throws at whatever the standard does not allow, and
 * at what it allows but the exporter does not do: an element twice in a record, padding in IPFIX.
 * @param options isStream: over TCP, TLS or in a file
 */
export function decodeExport(
  messages: readonly Buffer[],
  { isStream = false }: { readonly isStream?: boolean } = {},
): DecodedMessage[] {
  const decoder = new MessageDecoder({ isStrict: true, isStream });
  return messages.map((octets) => {
    const message = decoder.decode(octets);
    for (const { template, values, fields } of message.records) {
      // The fixed records of v1 and v5 have padding in several places.
      // Options records tell of an interval by the same element twice (RFC 7011 §4.2).
      if (template.id === 0 || template.isOptions || fields.size === values.length) continue;
      throw new Error(`template ${template.id} has an element twice`);
    }
    if (message.version === 10 && message.paddingOctets > 0) throw new Error('padding in IPFIX');
    return message;
  });
}

/** Flows only: what options data tell of the exporter is left out. */
export function exportedRecords(messages: readonly Buffer[]): DecodedRecord[] {
  const records = decodeExport(messages).flatMap((message) => message.records);
  return records.filter(({ isOptions }) => !isOptions);
}
