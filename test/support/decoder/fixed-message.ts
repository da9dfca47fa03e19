// NetFlow v1 and v5, whose records are always the same (Cisco, "NetFlow Export Datagram Format").
// Values stand under the numbers of IANA's elements that mean the same.
import { DecodeError } from './decode-error.js';
import { readRecord } from './data-set.js';
import {
  emptyContents,
  toMessage,
  type DecodedMessage,
  type MessageHeader,
  type Template,
} from './decoded-message.js';
import type { OctetCursor } from './octet-cursor.js';
import { refuse } from './set-reader.js';

/** paddingOctets: what the formats leave unused. */
const UNUSED = 210;

/** [element, octets] in the order of both formats, up to the ports. */
const COMMON = [
  [8, 4], // srcaddr
  [12, 4], // dstaddr
  [15, 4], // nexthop
  [10, 2], // input
  [14, 2], // output
  [2, 4], // dPkts
  [1, 4], // dOctets
  [22, 4], // First
  [21, 4], // Last
  [7, 2], // srcport
  [11, 2], // dstport
] as const;

/** 48 octets as nfdump and tshark read them too; some descriptions have 52. */
const V1_RECORD = fixedTemplate([
  ...COMMON,
  [UNUSED, 2],
  [4, 1], // prot
  [5, 1], // tos
  [6, 1], // flags
  [UNUSED, 7],
]);

const V5_RECORD = fixedTemplate([
  ...COMMON,
  [UNUSED, 1],
  [6, 1], // tcp_flags
  [4, 1], // prot
  [5, 1], // tos
  [16, 2], // src_as
  [17, 2], // dst_as
  [9, 1], // src_mask
  [13, 1], // dst_mask
  [UNUSED, 2],
]);

const FORMATS = {
  1: { template: V1_RECORD, maxCount: 24 },
  5: { template: V5_RECORD, maxCount: 30 },
} as const;

export function readFixedMessage(
  version: 1 | 5,
  cursor: OctetCursor,
  mode: { readonly isStrict: boolean },
): DecodedMessage {
  const { template, maxCount } = FORMATS[version];
  cursor.u16('the version');
  const count = cursor.u16('the count');
  const common = {
    version,
    count,
    sysUptimeMs: cursor.u32('sysUptime'),
    exportTime: cursor.u32('the export time'),
    exportNanoseconds: cursor.u32('the nanoseconds of the export time'),
  };
  const header: MessageHeader =
    version === 1
      ? { ...common, sequenceNumber: 0, observationDomainId: 0 }
      : { ...common, ...readV5Header(cursor) };
  if (count === 0 || count > maxCount) {
    const reason = `${count} records, not 1 to ${maxCount}`;
    refuse(mode, 'bad-count', 2, 'read the count', reason);
  }
  const octets = count * template.minRecordOctets;
  if (octets > cursor.left) {
    const reason = `${count} records take ${octets} octets, and ${cursor.left} are left`;
    throw new DecodeError('truncated', cursor.at, 'read the records', reason);
  }
  const contents = emptyContents();
  for (let i = 0; i < count; i++) {
    const offset = cursor.at;
    readRecord(cursor, template, contents);
    if (mode.isStrict) expectZeros(contents.records.at(-1)?.values ?? [], template, offset);
  }
  if (cursor.left > 0) {
    const reason = `${cursor.left} octets behind the last record`;
    refuse(mode, 'trailing-octets', cursor.at, 'read the message', reason);
  }
  contents.paddingOctets = cursor.left;
  return toMessage(header, cursor.bytes.length, contents);
}

type V5Header = Required<
  Pick<MessageHeader, 'sequenceNumber' | 'observationDomainId' | 'sampling'>
>;

function readV5Header(cursor: OctetCursor): V5Header {
  const sequenceNumber = cursor.u32('the sequence number');
  const observationDomainId = cursor.u16('the engine type and id');
  const sampling = cursor.u16('the sampling interval');
  return {
    sequenceNumber,
    observationDomainId,
    sampling: { mode: sampling >> 14, interval: sampling & 0x3fff },
  };
}

function expectZeros(values: readonly Buffer[], template: Template, offset: number): void {
  template.fields.forEach(({ element }, i) => {
    if (element !== UNUSED || values[i]?.every((octet) => octet === 0) === true) return;
    throw new DecodeError('bad-padding', offset, 'read a record', 'unused octets are not zero');
  });
}

function fixedTemplate(layout: readonly (readonly [number, number])[]): Template {
  return {
    id: 0,
    isOptions: false,
    fields: layout.map(([element, octets]) => ({
      key: `0/${element}`,
      enterprise: 0,
      element,
      octets,
      isVariable: false,
      isScope: false,
    })),
    minRecordOctets: layout.reduce((sum, [, octets]) => sum + octets, 0),
  };
}
