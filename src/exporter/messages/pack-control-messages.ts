// Packs messages that carry no flows: templates, options templates and options data.
import type { MessageFormat } from './message-format.js';
import type { ControlMessage } from './outgoing-message.js';

/** Records of one set. A set that is longer than a message allows becomes several. */
export interface ControlSet {
  readonly setId: number;
  readonly records: readonly Buffer[];
}

/** Sets below are of templates or reserved (RFC 7011 §3.3.2). */
const FIRST_DATA_SET_ID = 256;

/** As few messages as the limit allows. A record that is alone above the limit stays whole. */
export function packControlMessages(
  format: MessageFormat,
  sets: readonly ControlSet[],
  maxMessageOctets: number,
): ControlMessage[] {
  const messages: ControlSet[][] = [];
  let octets = 0;
  for (const { setId, records } of sets) {
    let open: Buffer[] | undefined;
    for (const record of records) {
      const needed = record.length + (open === undefined ? format.setHeaderOctets : 0);
      const after = octets + needed;
      const last = messages.at(-1);
      if (last !== undefined && padded(format, after) <= maxMessageOctets) {
        if (open === undefined) last.push({ setId, records: (open = []) });
        octets = after;
      } else {
        messages.push([{ setId, records: (open = []) }]);
        octets = format.headerOctets + format.setHeaderOctets + record.length;
      }
      open.push(record);
    }
    octets = padded(format, octets);
  }
  return messages.map((message) => writeMessage(format, message));
}

/** Message headers have whole words, so that a set is aligned where the message is. */
function padded(format: MessageFormat, octets: number): number {
  return Math.ceil(octets / format.setAlignmentOctets) * format.setAlignmentOctets;
}

function writeMessage(format: MessageFormat, sets: readonly ControlSet[]): ControlMessage {
  const lengths = sets.map(({ records }) =>
    padded(format, format.setHeaderOctets + Buffer.concat(records).length),
  );
  const bytes = Buffer.alloc(lengths.reduce((sum, octets) => sum + octets, format.headerOctets));
  let templateRecords = 0;
  let dataRecords = 0;
  let start = format.headerOctets;
  for (const [i, { setId, records }] of sets.entries()) {
    const octets = lengths[i] ?? 0;
    format.writeSetHeader(setId, octets, bytes, start);
    Buffer.concat(records).copy(bytes, start + format.setHeaderOctets);
    if (setId < FIRST_DATA_SET_ID) templateRecords += records.length;
    else dataRecords += records.length;
    start += octets;
  }
  return { bytes, templateRecords, dataRecords };
}
