// NetFlow v5 messages: a header, then up to 30 records of 48 octets. No sets and no templates.
import { struct, u16be, u32be } from 'buffer-layout';
import type { Sampling } from '../../flow/sampling.js';
import type { MessageFormat, MessageHeader } from './message-format.js';

interface Header {
  readonly version: number;
  readonly count: number;
  readonly sysUptime: number;
  readonly unixSecs: number;
  readonly unixNsecs: number;
  readonly flowSequence: number;
  /** Engine type in the first octet, engine id in the second. */
  readonly engine: number;
  /** Two bits of mode, fourteen of interval. */
  readonly sampling: number;
}

const HEADER = struct<Header>([
  u16be('version'),
  u16be('count'),
  u32be('sysUptime'),
  u32be('unixSecs'),
  u32be('unixNsecs'),
  u32be('flowSequence'),
  u16be('engine'),
  u16be('sampling'),
]);
const WORD = 2 ** 32;
const HALF_WORD = 2 ** 16;
const SAMPLING_MODES = { count: 1, random: 2 } as const;
const SAMPLING_MODE_SHIFT = 14;
/** What the header has room for. */
export const MAX_SAMPLING_INTERVAL = 2 ** SAMPLING_MODE_SHIFT - 1;

export const NETFLOW_V5: MessageFormat = {
  headerOctets: HEADER.span,
  setHeaderOctets: 0,
  setAlignmentOctets: 1,
  maxRecords: 30,
  writeMessageHeader,
  writeSetHeader: () => undefined,
  isSequenceOfSession: false,
  // "Sequence counter of total flows seen"
  sequenceStep: (dataRecords) => dataRecords,
};

/**
 * Times in records count from sysUptime zero, and collectors take that to be the header's time less
 * sysUptime: exact here, because the header has more than whole seconds.
 */
function writeMessageHeader(header: MessageHeader, out: Buffer): void {
  const exportTimeMs = Math.ceil(header.exportTimeMs);
  const fields: Header = {
    version: 5,
    count: header.records,
    sysUptime: (exportTimeMs - header.uptimeZeroMs) % WORD,
    unixSecs: Math.floor(exportTimeMs / 1000) % WORD,
    unixNsecs: (exportTimeMs % 1000) * 1e6,
    flowSequence: header.sequenceNumber,
    engine: header.observationDomainId % HALF_WORD,
    sampling: samplingField(header.sampling),
  };
  HEADER.encode(fields, out, 0);
}

/** 0 where no packet is left out, or the interval is too long for the field. */
function samplingField(sampling: Sampling): number {
  if (sampling.kind === 'none' || sampling.kind === 'flow') return 0;
  if (sampling.interval > MAX_SAMPLING_INTERVAL) return 0;
  return (SAMPLING_MODES[sampling.kind] << SAMPLING_MODE_SHIFT) | sampling.interval;
}
