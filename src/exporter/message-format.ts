// What NetFlow v9 and IPFIX do differently, as one interface: their headers. Sets and the records
// in them are the same in both.
import type { Template } from '../templates/flow-template.js';

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
}

export interface MessageFormat {
  readonly headerOctets: number;
  readonly setHeaderOctets: number;
  readonly templateSetId: number;
  /** A set's length is padded to a multiple of this. */
  readonly setAlignmentOctets: number;
  writeMessageHeader(header: MessageHeader, out: Buffer): void;
  writeSetHeader(setId: number, setOctets: number, out: Buffer, at: number): void;
  templateRecordOctets(template: Template): number;
  /** Returns where the record ends. */
  writeTemplateRecord(template: Template, out: Buffer, at: number): number;
  /** How far the sequence number moves on with a message of that many data records. */
  sequenceStep(dataRecords: number): number;
}
