// NetFlow v1 messages: a header, then up to 24 records of 48 octets. It has no sequence numbers, and
// nothing in it tells two exporters on one host apart.
import { struct, u16be, u32be } from 'buffer-layout';
import type { MessageFormat, MessageHeader } from './message-format.js';

interface Header {
  readonly version: number;
  readonly count: number;
  readonly sysUptime: number;
  readonly unixSecs: number;
  readonly unixNsecs: number;
}

const HEADER = struct<Header>([
  u16be('version'),
  u16be('count'),
  u32be('sysUptime'),
  u32be('unixSecs'),
  u32be('unixNsecs'),
]);
const WORD = 2 ** 32;

export const NETFLOW_V1: MessageFormat = {
  headerOctets: HEADER.span,
  setHeaderOctets: 0,
  setAlignmentOctets: 1,
  maxRecords: 24,
  writeMessageHeader,
  writeSetHeader: () => undefined,
  isSequenceOfSession: false,
  sequenceStep: () => 0,
};

/** Times are as in v5. */
function writeMessageHeader(header: MessageHeader, out: Buffer): void {
  const exportTimeMs = Math.ceil(header.exportTimeMs);
  const fields: Header = {
    version: 1,
    count: header.records,
    sysUptime: (exportTimeMs - header.uptimeZeroMs) % WORD,
    unixSecs: Math.floor(exportTimeMs / 1000) % WORD,
    unixNsecs: (exportTimeMs % 1000) * 1e6,
  };
  HEADER.encode(fields, out, 0);
}
