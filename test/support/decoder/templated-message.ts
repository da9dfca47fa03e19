// NetFlow v9 (RFC 3954) and IPFIX (RFC 7011): a header, then sets of templates and of data.
import { DecodeError } from './decode-error.js';
import {
  emptyContents,
  toMessage,
  type DecodedMessage,
  type MessageHeader,
} from './decoded-message.js';
import { readDataSet } from './data-set.js';
import type { OctetCursor } from './octet-cursor.js';
import { refuse, type SetFormat, type SetReading } from './set-reader.js';
import { readTemplateSet } from './template-set.js';
import type { DomainTemplates } from './template-memory.js';

const FIRST_DATA_SET_ID = 256;
const SET_HEADER_OCTETS = 4;

export interface ReadingMode {
  readonly isStrict: boolean;
  /** TCP or a file: templates last until they are withdrawn. */
  readonly isStream: boolean;
}

const NETFLOW_V9_SETS: SetFormat = {
  templateSetId: 0,
  optionsTemplateSetId: 1,
  isIpfix: false,
  maxPaddingOctets: 3,
  rules: {
    setIds: 'RFC 3954 §5.2',
    sets: 'RFC 3954 §5.3',
    templates: 'RFC 3954 §5.2',
    optionsTemplates: 'RFC 3954 §6.1',
    padding: 'RFC 3954 §5.3',
  },
};

const IPFIX_SETS: SetFormat = {
  templateSetId: 2,
  optionsTemplateSetId: 3,
  isIpfix: true,
  maxPaddingOctets: Infinity,
  rules: {
    setIds: 'RFC 7011 §3.3.2',
    sets: 'RFC 7011 §3.3.1',
    templates: 'RFC 7011 §3.4.1',
    optionsTemplates: 'RFC 7011 §3.4.2.2',
    padding: 'RFC 7011 §3.3.1',
  },
};

/** The header of an IPFIX message, which says also how long the message is. */
export function readIpfixHeader(cursor: OctetCursor): MessageHeader {
  const { bytes, left } = cursor;
  cursor.u16('the version');
  const length = cursor.u16('the message length');
  if (length < 16) {
    const reason = `${length} octets, less than the header (RFC 7011 §3.1)`;
    throw new DecodeError('bad-length', 2, 'read the message length', reason);
  }
  if (length !== left) {
    const code = length > left ? 'truncated' : 'trailing-octets';
    const reason = `the header says ${length} octets, the message has ${bytes.length}`;
    throw new DecodeError(code, Math.min(length, left), 'read the message', reason);
  }
  return {
    version: 10,
    exportTime: cursor.u32('the export time'),
    exportNanoseconds: 0,
    sequenceNumber: cursor.u32('the sequence number'),
    observationDomainId: cursor.u32('the observation domain id'),
  };
}

export function readNetflowV9Header(cursor: OctetCursor): MessageHeader {
  cursor.u16('the version');
  return {
    version: 9,
    count: cursor.u16('the count'),
    sysUptimeMs: cursor.u32('sysUptime'),
    exportTime: cursor.u32('the export time'),
    exportNanoseconds: 0,
    sequenceNumber: cursor.u32('the sequence number'),
    observationDomainId: cursor.u32('the source id'),
  };
}

/** Reads the sets behind the header. Changes `templates` also where it throws. */
export function readSets(
  header: MessageHeader,
  cursor: OctetCursor,
  templates: DomainTemplates,
  mode: ReadingMode,
): DecodedMessage {
  const format = header.version === 9 ? NETFLOW_V9_SETS : IPFIX_SETS;
  const contents = emptyContents();
  const reading: SetReading = { ...mode, format, templates, contents };
  let records = 0;
  while (cursor.left > 0) records += readSet(cursor, reading);
  if (header.count !== undefined && header.count !== records) {
    const reason = `it says ${header.count} records, there are ${records} (RFC 3954 §5.1)`;
    refuse(mode, 'bad-count', 2, 'read the count', reason);
  }
  return toMessage(header, cursor.bytes.length, contents);
}

/** @returns the number of records, of templates and withdrawals too */
function readSet(cursor: OctetCursor, reading: SetReading): number {
  const { format } = reading;
  const offset = cursor.at;
  const setId = cursor.u16('a set id');
  const octets = cursor.u16('a set length');
  if (octets < SET_HEADER_OCTETS) {
    const reason = `${octets} octets, less than its header (${format.rules.sets})`;
    throw new DecodeError('bad-length', offset + 2, `read the length of set ${setId}`, reason);
  }
  const set = cursor.part(octets - SET_HEADER_OCTETS, `set ${setId}`);
  const skip = (reason: 'reserved-id' | 'no-template' | 'no-record'): number => {
    reading.contents.unknownSets.push({ setId, offset, octets, reason });
    return 0;
  };
  const operation = `read set ${setId}`;
  let records: number;
  if (setId === format.templateSetId) records = readTemplateSet(set, false, reading);
  else if (setId === format.optionsTemplateSetId) records = readTemplateSet(set, true, reading);
  else if (setId < FIRST_DATA_SET_ID) {
    refuse(reading, 'bad-set-id', offset, operation, `reserved (${format.rules.setIds})`);
    return skip('reserved-id');
  } else {
    const template = reading.templates.get(setId);
    if (template === undefined) {
      const reason = `no template came before it (${format.rules.sets})`;
      refuse(reading, 'unknown-template', offset, operation, reason);
      return skip('no-template');
    }
    records = readDataSet(set, template, reading);
  }
  if (records > 0) return records;
  refuse(reading, 'empty-set', offset, operation, `it has no record (${format.rules.sets})`);
  return skip('no-record');
}
