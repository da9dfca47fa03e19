// What a message says: the same shape for NetFlow v1, v5, v9 and IPFIX.

export interface FieldSpecifier {
  /** "enterprise/element", as in "0/8" and "35632/168"; a scope of NetFlow v9 is "scope/type". */
  readonly key: string;
  /** 0 for IANA's elements. */
  readonly enterprise: number;
  readonly element: number;
  /** As in the template: 65535 where isVariable. */
  readonly octets: number;
  readonly isVariable: boolean;
  readonly isScope: boolean;
}

export interface Template {
  /** 0 for the fixed records of NetFlow v1 and v5. */
  readonly id: number;
  readonly isOptions: boolean;
  readonly fields: readonly FieldSpecifier[];
  /** Never 0: what is shorter is padding. */
  readonly minRecordOctets: number;
}

/** All octets are views on the message: copy what is to outlive its buffer. */
export interface DecodedRecord {
  readonly templateId: number;
  readonly isOptions: boolean;
  /** By the fields' key; of an element that is there several times, the first. */
  readonly fields: ReadonlyMap<string, Buffer>;
  /** Every value, in the order of template.fields. */
  readonly values: readonly Buffer[];
  readonly template: Template;
}

export interface Withdrawal {
  /** 2 is all templates, 3 all options templates (RFC 7011 §8.1). */
  readonly templateId: number;
  readonly isOptions: boolean;
}

/** A set that was passed over; in strict mode each is an error instead. */
export interface UnknownSet {
  readonly setId: number;
  readonly offset: number;
  readonly octets: number;
  readonly reason: 'reserved-id' | 'no-template' | 'no-record';
}

export interface MessageHeader {
  readonly version: 1 | 5 | 9 | 10;
  /** Seconds since 1970. */
  readonly exportTime: number;
  /** The rest of a second; 0 in v9 and IPFIX, which do not have it. */
  readonly exportNanoseconds: number;
  /** 0 in v1, which has none. */
  readonly sequenceNumber: number;
  /** v9: the source id; v5: engine type * 256 + engine id; v1: 0. */
  readonly observationDomainId: number;
  /** Not in IPFIX. */
  readonly sysUptimeMs?: number;
  /** v1, v5: flow records; v9: all records, templates too. Not in IPFIX. */
  readonly count?: number;
  /** v5 only. */
  readonly sampling?: { readonly mode: number; readonly interval: number };
}

export interface DecodedMessage extends MessageHeader {
  readonly octets: number;
  readonly templates: readonly Template[];
  readonly withdrawals: readonly Withdrawal[];
  /** Data records and options data records, in the order of the message. */
  readonly records: readonly DecodedRecord[];
  readonly unknownSets: readonly UnknownSet[];
  /** Of all sets together. */
  readonly paddingOctets: number;
}

/** A message while it is read. */
export interface MessageContents {
  readonly templates: Template[];
  readonly withdrawals: Withdrawal[];
  readonly records: DecodedRecord[];
  readonly unknownSets: UnknownSet[];
  paddingOctets: number;
  /** Of all records together, for the limit on them. */
  valueCount: number;
}

export function emptyContents(): MessageContents {
  return {
    templates: [],
    withdrawals: [],
    records: [],
    unknownSets: [],
    paddingOctets: 0,
    valueCount: 0,
  };
}

export function toMessage(
  header: MessageHeader,
  octets: number,
  { templates, withdrawals, records, unknownSets, paddingOctets }: MessageContents,
): DecodedMessage {
  return { ...header, octets, templates, withdrawals, records, unknownSets, paddingOctets };
}
