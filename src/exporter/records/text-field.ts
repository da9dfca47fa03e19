// Fields made from a text about a process: the text itself, or the id of the application that it names.
import { VARIABLE_LENGTH } from '../../templates/flow-fields.js';
import { APPLICATION_NAME_OCTETS } from '../../templates/options-templates.js';
import type { MessageOctets } from './message-octets.js';
import { prefixOctets } from './record-plan.js';
import { writeString } from './string-octets.js';

/** Gives applications an id by their name (application-names.ts). */
export interface ApplicationIds {
  /** Writes the id of the name that stands in name[start...end], sanitised as writeString does. */
  writeId(name: Buffer, start: number, end: number, out: Buffer, at: number): void;
}

export interface TextContext {
  /** Undefined where no template has one. */
  readonly applicationIds: ApplicationIds | undefined;
  /** Of the record at hand. */
  readonly applicationName: Buffer;
  /** Names that did not fit into their field. */
  truncatedFields: number;
}

export function createTextContext(applicationIds: ApplicationIds | undefined): TextContext {
  // Its own record has it with a NUL behind.
  const applicationName = Buffer.alloc(APPLICATION_NAME_OCTETS - 1);
  return { applicationIds, applicationName, truncatedFields: 0 };
}

/** The name is cut to what its own record holds of it. */
export function writeApplicationId(
  text: Uint8Array,
  out: Buffer,
  at: number,
  context: TextContext,
): void {
  const { applicationIds, applicationName } = context;
  if (applicationIds === undefined) throw new RangeError('applications have no ids here');
  let octets = writeString(text, 0, text.length, applicationName, 0, applicationName.length);
  if (octets < 0) {
    octets = ~octets;
    context.truncatedFields++;
  }
  applicationIds.writeId(applicationName, 0, octets, out, at);
}

/** Returns where the field ends: the only one whose length can depend on the record. */
export function writeText(
  text: Uint8Array,
  octets: number,
  limit: number,
  out: MessageOctets,
  at: number,
  context: TextContext,
): number {
  const { bytes } = out;
  const isVariable = octets === VARIABLE_LENGTH;
  // By the length before it is sanitised, which makes no text longer: a text that turns out shorter
  // may have a length of three octets all the same.
  const start = isVariable ? at + prefixOctets(Math.min(text.length, limit)) : at;
  let written = writeString(text, 0, text.length, bytes, start, limit);
  if (written < 0) {
    written = ~written;
    context.truncatedFields++;
  }
  if (isVariable) {
    if (start === at + 1) bytes[at] = written;
    else {
      bytes[at] = 255;
      out.view.setUint16(at + 1, written);
    }
    return start + written;
  }
  bytes.fill(0, start + written, start + octets);
  return start + octets;
}
