// Hands the decoder any octets: what comes of them is a message that is consistent, or a DecodeError, soon.
import { cpuTimeMs } from '../support/cpu-time.js';
import { DecodeError } from '../support/decoder/decode-error.js';
import type { DecodedMessage } from '../support/decoder/decoded-message.js';
import type { MessageDecoder } from '../support/decoder/message-decoder.js';

/** Far more than any message takes; the loops that it is to find would not end at all. */
const PATIENCE_MS = 2000;

/** The message, or the error; any other error is thrown. */
export function attempt(decoder: MessageDecoder, octets: Buffer): DecodedMessage | DecodeError {
  const before = cpuTimeMs();
  const result = decodeOrError(decoder, octets);
  const elapsedMs = cpuTimeMs() - before;
  if (elapsedMs > PATIENCE_MS) throw new Error(`${elapsedMs} ms for ${octets.length} octets`);
  if (!(result instanceof DecodeError)) expectConsistency(result, octets);
  else if (result.offset > octets.length) throw new Error('an offset behind the message');
  return result;
}

function decodeOrError(decoder: MessageDecoder, octets: Buffer): DecodedMessage | DecodeError {
  try {
    return decoder.decode(octets);
  } catch (error) {
    if (error instanceof DecodeError) return error;
    throw error;
  }
}

/** What must be true of any message, whatever its octets. */
function expectConsistency(message: DecodedMessage, octets: Buffer): void {
  const { records, unknownSets, paddingOctets } = message;
  let accounted = paddingOctets;
  for (const { octets } of unknownSets) accounted += octets;
  for (const { values, fields, template } of records) {
    if (values.length !== template.fields.length) throw new Error('values and fields differ');
    if (fields.size > values.length) throw new Error('more fields than values');
    let recordOctets = 0;
    for (const { length } of values) recordOctets += length;
    if (recordOctets === 0 && template.fields.every(({ isVariable }) => !isVariable)) {
      throw new Error('a record of nothing');
    }
    accounted += recordOctets;
  }
  if (message.octets !== octets.length) throw new Error('length');
  // A set without a record is there twice: as itself and as its padding.
  if (accounted > 2 * octets.length) throw new Error('more octets than there were');
}
