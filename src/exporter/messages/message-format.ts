// What the formats do differently, as one interface: their headers. Records are the same in all.
import type { Sampling } from '../../flow/sampling.js';
import type { Template } from '../../templates/flow-template.js';
import type { OptionsTemplate } from '../../templates/options-templates.js';

export interface MessageHeader {
  /** Length of the whole message. */
  readonly messageOctets: number;
  /** Records in the message, template records too. */
  readonly records: number;
  /** When the message leaves, milliseconds since 1970. */
  readonly exportTimeMs: number;
  /** The time at which sysUptime was 0, whole milliseconds since 1970. */
  readonly uptimeZeroMs: number;
  readonly sequenceNumber: number;
  readonly observationDomainId: number;
  readonly sampling: Sampling;
}

export interface MessageFormat {
  readonly headerOctets: number;
  /** 0 where records follow the message's header directly, as in v1 and v5. */
  readonly setHeaderOctets: number;
  /** A set's length is padded to a multiple of this. */
  readonly setAlignmentOctets: number;
  /** The most data records in a message. */
  readonly maxRecords: number;
  writeMessageHeader(header: MessageHeader, out: Buffer): void;
  writeSetHeader(setId: number, setOctets: number, out: Buffer, at: number): void;
  /** Sequence numbers begin anew with each session (IPFIX), or never do (NetFlow). */
  readonly isSequenceOfSession: boolean;
  /** How far the sequence number moves on with a message of that many data records. */
  sequenceStep(dataRecords: number): number;
}

/** A format with templates. */
export interface TemplateFormat extends MessageFormat {
  readonly version: 9 | 10;
  readonly templateSetId: number;
  readonly optionsTemplateSetId: number;
  templateRecordOctets(template: Template): number;
  /** Returns where the record ends. */
  writeTemplateRecord(template: Template, out: Buffer, at: number): number;
  optionsTemplateRecordOctets(template: OptionsTemplate): number;
  /** Returns where the record ends. */
  writeOptionsTemplateRecord(template: OptionsTemplate, out: Buffer, at: number): number;
}
